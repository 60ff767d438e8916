"""ASGI application that uvicorn serves."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
_django = get_asgi_application()

from dashboard.api.fast_path import with_fast_paths  # noqa: E402  (needs the apps to be ready)
from dashboard.server.threads import reuse_threads  # noqa: E402

application = with_fast_paths(reuse_threads(_django))
