"""Processes, threads, environment and static files of the web server."""
