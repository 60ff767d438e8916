"""States of jobs, attempts, nodes and devices, with the allowed moves."""
