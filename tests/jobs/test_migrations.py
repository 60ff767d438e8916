"""Fresh databases start from one migration; those that took the thirty-six before it come to the same tables."""

from __future__ import annotations

from django.apps import apps
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

SQUASHED = ("jobs", "0001_squashed_0036_carbon")


def changes_after(loader: MigrationLoader) -> dict[str, object]:
    """What the models have that the loader's migrations do not make."""
    return MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(loader.graph)


def test_both_ways_come_to_the_models():
    one_by_one = MigrationLoader(None, replace_migrations=False)
    assert len(one_by_one.get_migration(*SQUASHED).replaces) == 36
    assert changes_after(one_by_one) == {}
    assert changes_after(MigrationLoader(None)) == {}


def test_a_fresh_database_takes_the_short_way():
    plan = MigrationLoader(None).graph.forwards_plan(SQUASHED)
    assert [name for app, name in plan if app == "jobs"] == [SQUASHED[1]]
