"""Package of the client, and the snippet that logs from a script."""
