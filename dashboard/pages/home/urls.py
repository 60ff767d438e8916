"""Routes of the overview, the counts of the bar, and the search."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.home import search_views, views

urlpatterns = [
    path("", views.overview, name="home"),
    path("counts/", views.counts, name="counts"),
    path("search/", search_views.search, name="search"),
]
NAVIGATION = (NavigationItem("home", "Overview", "inbox", figure="alerts"),)
