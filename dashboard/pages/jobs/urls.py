"""Routes of jobs and of the queue."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.jobs import queue_views, views
from dashboard.pages.jobs.actions import ACTIONS

urlpatterns = [
    path("jobs/", views.listing, name="jobs"),
    *[path(f"jobs/<str:job_id>/{name}/", views.act, {"name": name}, name=f"job-{name}") for name in ACTIONS],
    path("queue/", queue_views.listing, name="queue"),
    path("queue/<str:job_id>/move/", queue_views.move, name="queue-move"),
    path("queue/<str:job_id>/priority/", queue_views.prioritise, name="queue-priority"),
]
NAVIGATION = (
    NavigationItem("jobs", "Jobs", "list-task", is_main=True, count="running"),
    NavigationItem("queue", "Queue", "hourglass-split", is_main=True, count="waiting"),
)
