"""Routes of advice, accuracy and trade-offs."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.planning import accuracy_views, advice_views, tradeoff_views

urlpatterns = [
    path("trade-offs/", tradeoff_views.page, name="tradeoffs"),
    path("advice/", advice_views.page, name="advice"),
    path("accuracy/", accuracy_views.page, name="accuracy"),
    path("accuracy/csv/", accuracy_views.save, name="accuracy-csv"),
]
NAVIGATION = (
    NavigationItem("tradeoffs", "Trade-offs", "graph-down"),
    NavigationItem("advice", "Advice", "lightning-charge"),
    NavigationItem("accuracy", "Accuracy", "check-circle-fill"),
)
