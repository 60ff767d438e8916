"""Routes of reports."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.reports import views

urlpatterns = [
    path("reports/", views.listing, name="reports"),
    path("reports/write/", views.write, name="report-write"),
    path("reports/preview/", views.preview, name="report-preview"),
    path("reports/<str:report_id>/", views.show, name="report"),
    path("reports/<str:report_id>/change/", views.change, name="report-change"),
    path("reports/<str:report_id>/delete/", views.delete, name="report-delete"),
]
NAVIGATION = (NavigationItem("reports", "Reports", "files", ("report", "report-write", "report-change")),)
