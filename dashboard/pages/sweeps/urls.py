"""Routes of sweeps."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.sweeps import views

urlpatterns = [
    path("sweeps/", views.listing, name="sweeps"),
    path("sweeps/submit/", views.submit, name="sweep-submit"),
    path("sweeps/<str:sweep_id>/", views.detail, name="sweep"),
    path("sweeps/<str:sweep_id>/<str:name>/", views.act, name="sweep-action"),
]
NAVIGATION = (NavigationItem("sweeps", "Sweeps", "grid-3x3-gap", ("sweep",)),)
