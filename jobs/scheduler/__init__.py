"""Scheduler: loop, pool snapshots, leases, gangs and dispatch."""
