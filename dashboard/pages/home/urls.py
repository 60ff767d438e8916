"""Routes of the overview, of the counts in the bar, and of the search over everything."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.home import search_views, views

urlpatterns = [
    path("", views.overview, name="home"),
    path("counts/", views.counts, name="counts"),
    path("search/", search_views.search, name="search"),
]
NAVIGATION = (NavigationItem("home", "Overview", "inbox", count="alerts"),)
