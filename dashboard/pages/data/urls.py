"""Routes of data sets."""

from django.urls import path

from dashboard.html.navigation import NavigationItem
from dashboard.pages.data import views

urlpatterns = [
    path("data/", views.listing, name="data"),
    path("data/upload/", views.upload, name="data-upload"),
    path("data/<str:dataset_id>/", views.detail, name="dataset"),
    path("data/<str:dataset_id>/change/", views.change, name="dataset-change"),
    path("data/<str:dataset_id>/packing/", views.packing, name="dataset-packing"),
    path("data/<str:dataset_id>/refused/", views.refused, name="dataset-refused"),
    *[
        path(f"data/<str:dataset_id>/{name}/", views.act, {"name": name}, name=f"dataset-{name}")
        for name in views.ACTIONS
    ],
]
NAVIGATION = (
    NavigationItem(
        "data", "Data", "collection", ("dataset", "data-upload", "dataset-change", "dataset-packing")
    ),
)
