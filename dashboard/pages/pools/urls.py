"""Routes of pools and of their settings."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.pools import settings_views, views

urlpatterns = [
    path("pools/", views.listing, name="pools"),
    path("pools/map/", views.map_data, name="pools-map"),
    path("pools/<str:name>/settings/", settings_views.settings, name="pool-settings"),
    path("pools/<str:name>/settings/changes/", settings_views.changes, name="pool-changes"),
    path("pools/<str:name>/settings/quotas/<str:slug>/", settings_views.quota, name="pool-quota"),
]
NAVIGATION = (
    NavigationItem(
        "pools", "Pools", "hdd-stack", ("pool-settings", "node", "node-action", "pool-tokens"), is_main=True
    ),
)
