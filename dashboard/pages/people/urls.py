"""Routes of login."""

from django.urls import path

from dashboard.pages.people import views

urlpatterns = [
    path("login/<str:token>/", views.login_by_link, name="login-link"),
]
