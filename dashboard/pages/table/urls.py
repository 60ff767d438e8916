"""Routes of the run table."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.table import views

RUN_TABS = ("run", "run-charts", "run-performance", "run-logs", "run-files", "run-spec")
urlpatterns = [
    path("runs/", views.listing, name="runs"),
    path("runs/complete/", views.complete, name="runs-complete"),
    path("runs/columns/", views.picker, name="runs-columns"),
    path("runs/save/", views.save, name="runs-save"),
]
NAVIGATION = (NavigationItem("runs", "Runs", "graph-down", RUN_TABS, is_main=True),)
