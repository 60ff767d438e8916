"""Every table and every state change: queue, scheduler, agent, ingest and series."""
