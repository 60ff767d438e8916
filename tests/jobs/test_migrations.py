"""Migrations: agreement with the models, upgrades of existing databases."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.utils import timezone

from jobs.models import (
    AttemptNode,
    ComponentHeartbeat,
    LastQuery,
    Run,
    Trace,
    TraceChunk,
    TraceFile,
    UploadedLog,
)
from tests.jobs.placed_jobs import assign

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
    recorder.record_applied("jobs", "0001_initial")  # as in a database from before the squash
    recorder.record_applied("jobs", "0036_carbon")
    for name in later:
        recorder.record_unapplied("jobs", name)
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    assert sorted(migration.name for migration, _ in plan) == sorted(later)


@pytest.mark.django_db(transaction=True)
def test_renamed_tables_and_columns_keep_their_rows(node, make_job, owner):
    before = ("jobs", "0037_contended_forecasts")
    attempt = assign(make_job())
    now = timezone.now()
    Run.objects.update(last_seen_at=now)
    AttemptNode.objects.create(attempt=attempt, node=node, state="armed", is_secondary_failure=True)
    UploadedLog.objects.create(attempt=attempt, rank=0, node=node, wanted_until=now, text="a line")
    LastQuery.objects.create(user=owner, page="runs", query="sort=loss")
    ComponentHeartbeat.objects.create(component="scheduler", at=now)
    trace = Trace.objects.create(
        attempt=attempt, number=1, num_steps=2, ranks=[0], actor="olga", asked_at=now
    )
    file = TraceFile.objects.create(trace=trace, rank=0, node=node, name="a.json.gz", first_step=7)
    TraceChunk.objects.create(file=file, seq=0, content=b"packed")

    try:
        MigrationExecutor(connection).migrate([before])
        old = MigrationExecutor(connection).loader.project_state([before]).apps
        assert old.get_model("jobs", "AttemptNode").objects.get().is_witness
        assert old.get_model("jobs", "Sign").objects.get().part == "scheduler"
        assert old.get_model("jobs", "BroughtLog").objects.get().text == "a line"
        assert old.get_model("jobs", "Run").objects.get().heard_at == now
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes("jobs"))  # as later tests of this process expect

    assert Run.objects.get().last_seen_at == now
    row = attempt.attempt_nodes.get()
    assert (row.state, row.is_secondary_failure) == ("armed", True)
    assert attempt.uploaded_logs.get().text == "a line"
    assert LastQuery.objects.get(user=owner).query == "sort=loss"
    assert ComponentHeartbeat.objects.get(component="scheduler").at == now
    assert bytes(file.chunks.get().content) == b"packed"
    with pytest.raises(IntegrityError), transaction.atomic():
        AttemptNode.objects.create(attempt=attempt, node=node)
    with pytest.raises(IntegrityError), transaction.atomic():
        UploadedLog.objects.create(attempt=attempt, rank=0, node=node, wanted_until=now)
