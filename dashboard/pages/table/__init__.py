"""The run table: its query, columns, rows and groups."""
