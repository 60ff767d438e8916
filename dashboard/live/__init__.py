"""The live stream and the database watcher behind it."""
