"""Routes of a person's own pages."""

from django.urls import path

from dashboard.pages.account import token_views, views

urlpatterns = [
    path("account/", views.account, name="account"),
    path("account/profile/", views.profile, name="account-profile"),
    path("account/password/", views.password, name="account-password"),
    path("account/sessions/end/", views.end_sessions, name="account-sessions-end"),
    path("account/tokens/", token_views.tokens, name="account-tokens"),
    path("account/tokens/<int:token_id>/revoke/", token_views.revoke, name="account-token-revoke"),
]
