"""Routes of the run page."""

from django.urls import path

from dashboard.pages.runs import (
    about_views,
    annotation_views,
    checkpoint_views,
    comment_views,
    log_views,
    media_views,
    roofline_views,
    tabs,
    trace_views,
    verdict_views,
    views,
)

urlpatterns = [
    path("compare/roofline/", roofline_views.compare, name="compare-roofline"),
    path("runs/count/", annotation_views.count, name="runs-count"),
    path("runs/many/<str:act>/", annotation_views.many, name="runs-many"),
    path("runs/<str:run_id>/", views.detail, name="run"),
    *[
        path(f"runs/<str:run_id>/{tab.name}/", views.detail, {"tab": tab.name}, name=tab.route)
        for tab in tabs.TABS.values()
        if tab.route != "run"
    ],
    path("runs/<str:run_id>/comments/", comment_views.listing, name="run-comments"),
    path("runs/<str:run_id>/comments/write/", comment_views.write, name="run-comment-write"),
    path(
        "runs/<str:run_id>/comments/<int:comment_id>/change/", comment_views.change, name="run-comment-change"
    ),
    path(
        "runs/<str:run_id>/comments/<int:comment_id>/delete/", comment_views.delete, name="run-comment-delete"
    ),
    path("runs/<str:run_id>/about/", about_views.about, name="run-about"),
    path("runs/<str:run_id>/change/", annotation_views.change, name="run-change"),
    path("runs/<str:run_id>/check-verdict/", verdict_views.check, name="verdict-check"),
    path("runs/<str:run_id>/log/", log_views.show, name="run-log"),
    path("runs/<str:run_id>/log/download/", log_views.download, name="run-log-download"),
    path("runs/<str:run_id>/artefacts/<str:artefact_id>/", views.artefact, name="run-artefact"),
    path("runs/<str:run_id>/timeline/", trace_views.part, name="run-timeline"),
    path("runs/<str:run_id>/trace/", trace_views.request_trace, name="run-trace"),
    path("runs/<str:run_id>/traces/<int:file_id>/", trace_views.file, name="run-trace-file"),
    path("runs/<str:run_id>/roofline/", roofline_views.show, name="run-roofline"),
    path("runs/<str:run_id>/layout/", checkpoint_views.layout, name="run-layout"),
    path("runs/<str:run_id>/restart/<int:step>/", checkpoint_views.start_again, name="run-restart"),
    path(
        "runs/<str:run_id>/checkpoints/<int:step>/<str:form>/", checkpoint_views.files, name="run-checkpoint"
    ),
    path("runs/<str:run_id>/media/", media_views.media, name="run-media"),
    path("runs/<str:run_id>/media/entry/", media_views.entry, name="run-media-entry"),
    path("runs/<str:run_id>/media/<str:artefact_id>/", media_views.file, name="run-media-file"),
    path("runs/<str:run_id>/environment/", media_views.environment, name="run-environment"),
    path("runs/<str:run_id>/console/", media_views.output, name="run-console"),
    path("runs/<str:run_id>/<str:name>/", views.part, name="run-part"),
    path("compare/why/", verdict_views.differences, name="compare-why"),
]
