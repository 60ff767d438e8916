"""The scheduler: loop, snapshot, leases and dispatch."""
