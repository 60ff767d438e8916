"""The client: what a training script sees of it, against a real server in a process of its own."""
