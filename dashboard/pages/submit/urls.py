"""Routes of the submit page and of spec templates."""

from django.urls import path

from dashboard.pages.submit import template_views, views

urlpatterns = [
    path("submit/", views.submit, name="submit"),
    path("submit/check/", views.check, name="submit-check"),
    path("templates/save/", template_views.save, name="template-save"),
    path("templates/<str:template_id>/change/", template_views.change, name="template-change"),
    path("templates/<str:template_id>/delete/", template_views.delete, name="template-delete"),
]
