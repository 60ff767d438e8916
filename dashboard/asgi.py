"""ASGI application that uvicorn serves."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
_django = get_asgi_application()

from django.conf import settings  # noqa: E402  (needs the apps to be ready, as what follows)

from dashboard.api.fast_path import with_fast_paths  # noqa: E402
from dashboard.callers import is_known  # noqa: E402
from dashboard.errors import send_refusal  # noqa: E402
from dashboard.server.peer_limits import limit_peers  # noqa: E402
from dashboard.server.threads import RequestThreads, reuse_threads  # noqa: E402

request_threads = RequestThreads(settings.WEB_THREADS)
application = limit_peers(with_fast_paths(reuse_threads(_django, request_threads)), send_refusal, is_known)
