"""States of jobs, attempts, nodes and devices, and the allowed moves."""
