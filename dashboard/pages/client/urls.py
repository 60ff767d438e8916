"""Routes of the client's package."""

from django.urls import path

from dashboard.pages.client import views

urlpatterns = [
    path("client", views.archive, name="client"),
    path("client/", views.archive),
    path("client/snippet/", views.snippet, name="client-snippet"),
    path("client/<str:name>", views.wheel, name="client-wheel"),
]
