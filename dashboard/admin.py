"""Django admin of teams and their members, which have no page of their own."""

from __future__ import annotations

from django.contrib import admin

from jobs.models import Membership, Team


class MembershipInline(admin.TabularInline):
    model = Membership
    autocomplete_fields = ("user",)
    extra = 1


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin):
    list_display = (
        "name",
        "slug",
        "created_at",
        "artefact_limit_bytes",
        "dataset_limit_bytes",
        "points_limit",
    )
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    inlines = (MembershipInline,)
