"""Pages of jobs and of the queue."""
