"""All routes: one line per page family, then the APIs."""

from importlib import import_module

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from dashboard import errors
from dashboard.api import points
from dashboard.api.api import urls as api_urls
from dashboard.live.stream import live
from dashboard.mlflow import routes as mlflow
from dashboard.pages.people.views import SignIn

# In the order of the navigation bar. The run table comes before the run page: both routes begin with runs/.
FAMILIES = (
    "home",
    "people",
    "submit",
    "jobs",
    "table",
    "projects",
    "runs",
    "sweeps",
    "compare",
    "planning",
    "reports",
    "data",
    "accounting",
    "pools",
    "nodes",
    "account",
    "teams",
    "client",
    "metrics",
    "health",
)

PAGES = [import_module(f"dashboard.pages.{family}.urls") for family in FAMILIES]
NAVIGATION = tuple(item for pages in PAGES for item in getattr(pages, "NAVIGATION", ()))

urlpatterns = [
    *[path("", include(pages)) for pages in PAGES],
    path("login/", SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("live", live, name="live"),
    path("api/v1/runs/<str:run_id>/points", points.add_points, name="points"),
    path("api/v1/", api_urls()),
    *[path(f"{prefix}/2.0/mlflow/", include(mlflow.tracking)) for prefix in ("api", "ajax-api")],
    path("api/2.0/mlflow-artifacts/", include(mlflow.files)),
    path("api/3.0/mlflow/<path:rest>", mlflow.nothing_here),
    path("admin/", admin.site.urls),
]
handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.server_error
