"""Routes of nodes and join tokens."""

from django.urls import path

from dashboard.pages.nodes import token_views, views

urlpatterns = [
    path("pools/<str:name>/tokens/", token_views.listing, name="pool-tokens"),
    path("pools/<str:name>/tokens/<int:token_id>/revoke/", token_views.revoke, name="token-revoke"),
    path("nodes/<str:node_id>/", views.detail, name="node"),
    path("nodes/<str:node_id>/probe/", views.probe, name="node-probe"),
    path("nodes/<str:node_id>/devices/<str:device_id>/", views.mark, name="device-mark"),
    path("nodes/<str:node_id>/<str:verb>/", views.act, name="node-action"),
]
