"""Routes of teams, people, invitations and the audit log."""

from django.urls import path

from dashboard.pages.teams import audit_views, invitation_views, people_views, views

urlpatterns = [
    path("teams/", views.teams, name="teams"),
    path("teams/<slug:slug>/", views.team, name="team"),
    path("teams/<slug:slug>/members/", views.add_member, name="team-add-member"),
    path("teams/<slug:slug>/members/<int:member_id>/", views.change_member, name="team-member"),
    path("teams/<slug:slug>/members/<int:member_id>/remove/", views.remove_member, name="team-remove-member"),
    path("teams/<slug:slug>/invitations/", invitation_views.invite, name="team-invite"),
    path(
        "teams/<slug:slug>/invitations/<int:invitation_id>/revoke/",
        invitation_views.revoke,
        name="team-revoke-invitation",
    ),
    path("invitations/<str:token>/", invitation_views.accept, name="invitation"),
    path("people/", people_views.people, name="people"),
    path("people/<int:user_id>/", people_views.act, name="person-act"),
    path("audit/", audit_views.audit_log, name="audit"),
]
