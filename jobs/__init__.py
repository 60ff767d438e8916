"""Tables and state changes: queue, scheduler, agent, ingest, series."""
