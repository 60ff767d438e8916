"""Runs without a job: states, tags, notes, each change with its event."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from jobs.models import Run, RunEvent, RunParam, Team
from jobs.tracking import external_runs, params, run_annotations

pytestmark = pytest.mark.django_db


@pytest.fixture
def run():
    team = Team.objects.create(name="blue", slug="blue")
    owner = User.objects.create(username="owner")
    return external_runs.create(team=team, owner=owner, name="mine", origin="mlflow", tags={"baseline": ""})


def kinds(run):
    return list(RunEvent.objects.filter(run=run).values_list("kind", "actor"))


def test_a_new_run_is_running_and_names_its_writer(run):
    assert (run.state, run.origin, run.started_at is not None) == ("running", "mlflow", True)
    assert kinds(run) == [("run.created", "owner")]
    assert dict(run.tags.values_list("key", "value")) == {"baseline": ""}


def test_a_repeated_state_is_recorded_once(run):
    external_runs.set_state(run, "succeeded", actor="owner")
    external_runs.set_state(run, "succeeded", actor="owner")
    assert [kind for kind, _ in kinds(run)] == ["run.created", "run.succeeded"]
    assert Run.objects.get().ended_at is not None


def test_a_run_that_runs_again_has_no_end(run):
    external_runs.set_state(run, "failed", actor="owner")
    external_runs.set_state(run, "running", actor="owner")
    assert Run.objects.get().ended_at is None


def test_an_unknown_state_is_refused(run):
    with pytest.raises(external_runs.TrackingError, match="'zombie' is not a state"):
        external_runs.set_state(run, "zombie", actor="owner")


def test_a_tag_takes_a_new_value_and_goes_away(run):
    external_runs.set_tags(run, {"baseline": "no", "seed": "3"})
    assert dict(run.tags.values_list("key", "value")) == {"baseline": "no", "seed": "3"}
    assert external_runs.drop_tags(run, ["seed", "never"]) == 1


def test_a_tag_that_no_row_could_hold_is_refused(run):
    for bad in ({"": "x"}, {"k" * 251: ""}, {"k": "v" * 8001}, {"k": "\0"}):
        with pytest.raises(external_runs.TrackingError):
            external_runs.set_tags(run, bad)


def test_archive_and_restore_are_each_recorded_once(run):
    one = Run.objects.filter(id=run.id)
    assert (run_annotations.archive(one, actor="mate"), run_annotations.archive(one, actor="mate")) == (1, 0)
    assert (run_annotations.restore(one, actor="mate"), run_annotations.restore(one, actor="mate")) == (1, 0)
    assert [kind for kind, _ in kinds(run)][1:] == ["run.archived", "run.restored"]


def test_a_new_name_is_an_event_with_both_names(run):
    run_annotations.change(run, actor="mate", name="better")
    assert Run.objects.get().name == "better"
    assert RunEvent.objects.last().text == "name: 'mine' -> 'better'"


def test_a_parameter_may_be_said_again_but_not_changed(run):
    params.store(run, {"lr": "0.1", "model": "gpt"})
    params.store(run, {"lr": "0.1"})
    assert list(RunParam.objects.order_by("key").values_list("key", "value", "number")) == [
        ("lr", "0.1", 0.1),
        ("model", "gpt", None),
    ]
    with pytest.raises(params.ParamError, match=r"already '0\.1'"):
        params.store(run, {"lr": "0.2", "new": "1"})
    assert not RunParam.objects.filter(key="new").exists()


def test_text_that_reads_as_no_finite_number_has_none():
    assert [params.as_number(text) for text in ("3e-4", " 8 ", "nan", "inf", "true", "")] == [
        3e-4, 8.0, None, None, None, None,
    ]  # fmt: skip


def test_a_spec_is_flattened_by_its_paths():
    assert params.from_spec({"model": {"layers": 8, "tied": True}, "corpus": None, "name": "x"}) == {
        "model.layers": "8",
        "model.tied": "true",
        "name": "x",
    }


def silence(run, *, for_s):
    Run.objects.filter(id=run.id).update(last_seen_at=timezone.now() - timedelta(seconds=for_s))
    run.refresh_from_db()


def test_a_run_without_signs_of_life_fails_at_the_last_one_with_the_reason(run, settings):
    settings.SILENT_RUN_LIMIT_S = 7200
    silence(run, for_s=7000)
    assert external_runs.fail_silent_runs() == 0
    silence(run, for_s=7300)
    assert (external_runs.fail_silent_runs(), external_runs.fail_silent_runs()) == (1, 0)
    last_seen_at = run.last_seen_at
    run.refresh_from_db()
    assert (run.state, run.ended_at) == ("failed", last_seen_at)
    assert "sent nothing for 2 h" in external_runs.loss_reason(run)


def test_no_run_is_failed_with_a_limit_of_0(run, settings):
    settings.SILENT_RUN_LIMIT_S = 0
    silence(run, for_s=10**7)
    assert external_runs.fail_silent_runs() == 0


def test_a_run_that_was_taken_for_killed_goes_on_when_its_writer_speaks(run):
    silence(run, for_s=10**6)
    external_runs.fail_silent_runs()
    run.refresh_from_db()
    external_runs.touch(run)
    run.refresh_from_db()
    assert (run.state, run.ended_at, external_runs.loss_reason(run)) == ("running", None, "")
    assert [kind for kind, _ in kinds(run)[-2:]] == ["run.lost", "run.running"]


def test_a_late_word_does_not_revive_a_run_whose_writer_said_that_it_failed(run):
    external_runs.set_state(run, "failed", actor="olga")
    silence(run, for_s=100)
    external_runs.touch(run)
    run.refresh_from_db()
    assert run.state == "failed"
