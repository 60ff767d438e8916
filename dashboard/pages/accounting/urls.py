"""Routes of accounting."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.accounting import views

urlpatterns = [
    path("accounting/", views.page, name="accounting"),
    path("accounting/csv/", views.save, name="accounting-csv"),
]
NAVIGATION = (NavigationItem("accounting", "Accounting", "table"),)
