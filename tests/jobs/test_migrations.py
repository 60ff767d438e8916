"""Migrations and models agree, and a recorded database needs only what is new."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

BASE = "0001_squashed_0036_carbon"


def test_the_migrations_make_the_tables_of_the_models():
    loader = MigrationLoader(None)
    assert (
        MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(loader.graph)
        == {}
    )


@pytest.mark.django_db
def test_a_database_that_recorded_the_replaced_migrations_runs_only_later_ones():
    recorder = MigrationRecorder(connection)
    later = [name for app, name in recorder.applied_migrations() if app == "jobs" and name != BASE]
    recorder.record_applied("jobs", "0001_initial")  # as versions before the squash did
    recorder.record_applied("jobs", "0036_carbon")
    for name in later:
        recorder.record_unapplied("jobs", name)
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    assert sorted(migration.name for migration, _ in plan) == sorted(later)
