"""The web side: settings, routes, access, forms, pages, API and static files."""
