"""State changes of jobs, attempts, nodes and devices, with their consequences."""
