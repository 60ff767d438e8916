"""The table of runs: what an address asks of it, its columns, rows and groups."""
