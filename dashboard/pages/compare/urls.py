"""Routes of the compare page and saved views."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.compare import saved_views, views

urlpatterns = [
    path("compare/", views.compare, name="compare"),
    path("compare/metrics/", views.metrics, name="compare-metrics"),
    path("compare/figures/", views.figures, name="compare-figures"),
    path("v/save/", saved_views.save, name="saved-view-save"),
    path("v/<str:view_id>/", saved_views.show, name="saved-view"),
    path("v/<str:view_id>/change/", saved_views.change, name="saved-view-change"),
    path("v/<str:view_id>/delete/", saved_views.delete, name="saved-view-delete"),
]
NAVIGATION = (NavigationItem("compare", "Compare", "layout-split"),)
