"""Routes of projects, of moving runs, and of the bin."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.projects import bin_views, views

urlpatterns = [
    path("projects/", views.listing, name="projects"),
    path("projects/create/", views.create, name="project-create"),
    path("projects/bin/", bin_views.listing, name="bin"),
    path("projects/bin/<int:deletion_id>/restore/", bin_views.restore, name="bin-restore"),
    path("projects/<int:project_id>/", views.detail, name="project"),
    path("projects/<int:project_id>/change/", views.change, name="project-change"),
    path("projects/<int:project_id>/delete/", bin_views.delete_project, name="project-delete"),
    path("runs/<str:run_id>/move/", views.move_run, name="run-move"),
    path("runs/<str:run_id>/delete/", bin_views.delete_run, name="run-delete"),
]
NAVIGATION = (NavigationItem("projects", "Projects", "archive", ("project", "project-delete", "bin")),)
