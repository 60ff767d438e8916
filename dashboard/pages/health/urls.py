"""Routes of the health endpoints."""

from django.urls import path

from dashboard.pages.health import views

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
