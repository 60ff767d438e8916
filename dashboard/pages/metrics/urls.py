"""Routes of the Prometheus endpoint."""

from django.urls import path

from dashboard.pages.metrics import views

urlpatterns = [
    path("metrics", views.metrics, name="metrics"),
]
