"""Every route on one screen."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import RedirectView

from dashboard.api import points
from dashboard.api.api import urls as api_urls
from dashboard.live import live
from dashboard.mlflow import routes as mlflow
from dashboard.views import (
    accounting,
    comments,
    compare,
    errors,
    jobs,
    nodes,
    people,
    pool_settings,
    pools,
    queue,
    runs,
    saved,
    scrape,
    submit,
    sweeps,
    templates,
    tokens,
    tradeoffs,
)
from dashboard.wishes import WISHES

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="jobs"), name="home"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("login/<str:token>/", people.login_by_link, name="login-link"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("submit/", submit.submit, name="submit"),
    path("submit/check/", submit.check, name="submit-check"),
    path("templates/save/", templates.save, name="template-save"),
    path("templates/<str:template_id>/change/", templates.change, name="template-change"),
    path("templates/<str:template_id>/delete/", templates.delete, name="template-delete"),
    path("jobs/", jobs.listing, name="jobs"),
    *[path(f"jobs/<str:job_id>/{name}/", jobs.wish, {"name": name}, name=f"job-{name}") for name in WISHES],
    path("queue/", queue.listing, name="queue"),
    path("queue/<str:job_id>/move/", queue.move, name="queue-move"),
    path("queue/<str:job_id>/priority/", queue.prioritise, name="queue-priority"),
    path("runs/", runs.listing, name="runs"),
    path("runs/<str:run_id>/", runs.detail, name="run"),
    path("runs/<str:run_id>/comments/", comments.listing, name="run-comments"),
    path("runs/<str:run_id>/comments/write/", comments.write, name="run-comment-write"),
    path("runs/<str:run_id>/comments/<int:comment_id>/change/", comments.change, name="run-comment-change"),
    path("runs/<str:run_id>/comments/<int:comment_id>/delete/", comments.delete, name="run-comment-delete"),
    path("runs/<str:run_id>/log/", runs.log, name="run-log"),
    path("runs/<str:run_id>/<str:name>/", runs.part, name="run-part"),
    path("sweeps/", sweeps.listing, name="sweeps"),
    path("sweeps/submit/", sweeps.submit, name="sweep-submit"),
    path("sweeps/<str:sweep_id>/", sweeps.detail, name="sweep"),
    path("sweeps/<str:sweep_id>/<str:name>/", sweeps.wish, name="sweep-wish"),
    path("compare/", compare.compare, name="compare"),
    path("trade-offs/", tradeoffs.page, name="tradeoffs"),
    path("v/save/", saved.save, name="saved-view-save"),
    path("v/<str:view_id>/", saved.show, name="saved-view"),
    path("v/<str:view_id>/change/", saved.change, name="saved-view-change"),
    path("v/<str:view_id>/delete/", saved.delete, name="saved-view-delete"),
    path("pools/", pools.listing, name="pools"),
    path("pools/map/", pools.map_data, name="pools-map"),
    path("pools/<str:name>/tokens/", tokens.listing, name="pool-tokens"),
    path("pools/<str:name>/tokens/<int:token_id>/revoke/", tokens.revoke, name="token-revoke"),
    path("pools/<str:name>/settings/", pool_settings.settings, name="pool-settings"),
    path("pools/<str:name>/settings/changes/", pool_settings.changes, name="pool-changes"),
    path("pools/<str:name>/settings/quotas/<str:team>/", pool_settings.quota, name="pool-quota"),
    path("accounting/", accounting.page, name="accounting"),
    path("accounting/csv/", accounting.save, name="accounting-csv"),
    path("nodes/<str:node_id>/", nodes.detail, name="node"),
    path("nodes/<str:node_id>/devices/<str:device_id>/", nodes.mark, name="device-mark"),
    path("nodes/<str:node_id>/<str:verb>/", nodes.ask, name="node-ask"),
    path("metrics", scrape.metrics, name="metrics"),
    path("live", live, name="live"),
    path("api/v1/runs/<str:run_id>/points", points.take, name="points"),
    path("api/v1/", api_urls()),
    *[path(f"{prefix}/2.0/mlflow/", include(mlflow.tracking)) for prefix in ("api", "ajax-api")],
    path("api/2.0/mlflow-artifacts/", include(mlflow.files)),
    path("api/3.0/mlflow/<path:rest>", mlflow.nothing_here),
    path("admin/", admin.site.urls),
]
handler400 = errors.bad_request
