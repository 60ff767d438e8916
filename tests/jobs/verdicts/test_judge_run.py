"""Judging of runs from their stored rows, at their end and meanwhile."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from engine import planner
from engine.hardware import peaks
from engine.verdict.rules import RULES_VERSION
from jobs import verdicts
from jobs.models import Attempt, Job, Run, RunVerdict
from jobs.states.jobs import JobState
from jobs.tracking import external_runs
from jobs.verdicts import judging
from tests.jobs.verdicts.recording import record_steps

SLOW_DATA = ({"data_wait_s": 0.06}, {"data_wait_s": 0.06})
SLOW_LINK = ({"communication_s": 0.05}, {})


def test_a_run_that_has_ended_is_judged_by_the_loop_beside_the_scheduler(trained):
    job = trained(*SLOW_DATA, state=JobState.SUCCEEDED)
    judge = verdicts.JudgeLoop()
    assert judge.poll() == 1
    kept = RunVerdict.objects.get(run=job.run)
    assert (kept.name, kept.limit, kept.severity, kept.is_final) == ("input", "compute", "strong", True)
    assert kept.share == pytest.approx(0.06 / 0.164, abs=0.01)
    assert judge.poll() == 0


def test_a_running_run_is_judged_at_intervals(trained):
    job = trained(*SLOW_DATA)
    assert verdicts.JudgeLoop().poll() == 1 and verdicts.JudgeLoop().poll() == 0
    assert not RunVerdict.objects.get(run=job.run).is_final


def test_a_page_gets_the_stored_verdict_until_the_run_has_moved_on(trained):
    job = trained(*SLOW_DATA)
    first = verdicts.get_current(job.run)
    assert verdicts.get_current(job.run).at == first.at
    record_steps(job, job.attempts.get(), *SLOW_LINK, first=41, steps=300)
    run = Run.objects.select_related("job").get(id=job.run.id)
    assert verdicts.get_current(run).name == "input"  # younger than five seconds
    RunVerdict.objects.update(at=timezone.now() - judging.FRESH - timedelta(seconds=1))
    assert verdicts.get_current(run).name == "communication"
    assert RunVerdict.objects.count() == 1


def test_only_the_newest_steps_of_a_long_run_are_read(trained, node):
    job = trained(*SLOW_DATA)
    with CaptureQueriesContext(connection) as few:
        verdicts.collect_facts(job.run)
    record_steps(job, job.attempts.get(), *SLOW_LINK, first=41, steps=1000)
    run = Run.objects.select_related("job").get(id=job.run.id)
    with CaptureQueriesContext(connection) as many:
        facts = verdicts.collect_facts(run)
    assert len(many) <= len(few)
    assert facts.first_step == 785 and facts.num_steps <= 256


def test_warm_up_validation_and_checkpoints_are_left_out(trained):
    job = trained({}, {}, changes=("budget.validate_every=10", "budget.checkpoint_every=0"), steps=40)
    facts = verdicts.collect_facts(job.run)
    assert facts.num_steps == 40 - 5 - 7 - 2  # of the rest: 10, 11, 20, 21, 30, 31, 40; one at either end
    assert facts.coverage == 1.0


def test_a_later_attempt_warms_up_again_and_supersedes(trained, node):
    job = trained(*SLOW_DATA, steps=60)
    again = Attempt.objects.create(job=job, node=node, number=2)
    record_steps(job, again, *SLOW_LINK, first=41, steps=60)
    run = Run.objects.select_related("job").get(id=job.run.id)
    facts = verdicts.collect_facts(run)
    assert facts.last_step == 99  # a checkpoint is made at 100
    assert facts.ranks[0].phases["data_wait_s"].max() == pytest.approx(0.06)  # steps 6 to 40 of the first one
    assert facts.num_steps == pytest.approx((100 - 10) * 0.9, abs=3)


def test_devices_report_readings_and_reasons_for_missing_ones(trained):
    readings = {"cpu_pressure_share": 0.5, "memory_used_bytes": 7.9 * 2**30}
    job = trained({}, {}, readings=readings)
    Run.objects.update(missing={"device:a-0": {"power_w": ["absent", "this machine has no RAPL"]}})
    verdict = verdicts.get_verdicts([verdicts.judge_run(Run.objects.select_related("job").get()).run_id])[
        job.run.id
    ]
    assert {state.rule: state.severity for state in verdict.states} == {
        "contended": "notable",
        "memory_full": "strong",
    }
    assert verdict.bars[1].share == pytest.approx(7.9 / 8)
    assert "no RAPL" in verdict.bars[3].sentence
    assert verdict.provisional


def test_a_run_without_a_verdict_has_a_reason(trained, make_job, team, owner):
    logged = external_runs.create(team=team, owner=owner, name="logged", origin="mlflow")
    assert "reports neither steps" in verdicts.get_current(logged).body["nothing"]
    waiting = make_job()
    assert verdicts.get_current(waiting.run).body["nothing"] == "No step has been made yet."
    Job.objects.filter(id=waiting.id).update(state=JobState.CANCELLED, ended_at=timezone.now())
    assert "ended before" in verdicts.collect_facts(Run.objects.get(id=waiting.run.id)).nothing
    few = trained({}, {}, steps=3)
    assert "first 5 warm up" in verdicts.get_current(few.run).body["nothing"]


def test_a_fabric_test_is_not_judged(make_job):
    job = make_job()
    job.run.spec["kind"] = "fabric_test"
    assert "fabric test" in verdicts.collect_facts(job.run).nothing


def test_a_verdict_names_unread_ranks(trained, monkeypatch):
    monkeypatch.setattr("jobs.verdicts.gather.RANKS_READ", 1)
    kept = verdicts.judge_run(trained(*SLOW_LINK).run)
    assert kept.is_provisional and "1 of 2 ranks" in kept.body["provisional"][0]
    assert kept.severity == "notable"


def test_old_runs_keep_verdicts_of_older_rules_and_can_be_judged_again(trained, capsys, monkeypatch):
    job = trained(*SLOW_DATA, state=JobState.SUCCEEDED)
    old = verdicts.judge_run(job.run)
    monkeypatch.setattr("engine.verdict.judge.RULES_VERSION", RULES_VERSION + 1)
    assert verdicts.JudgeLoop().poll() == 0
    assert verdicts.get_current(job.run).id == old.id
    call_command("rejudge", job.run.id)
    assert f"{job.run.id}  input 37 %  strong" in capsys.readouterr().out
    assert sorted(job.run.verdicts.values_list("rules_version", flat=True)) == [
        RULES_VERSION,
        RULES_VERSION + 1,
    ]
    assert verdicts.get_current(job.run).rules_version == RULES_VERSION + 1


def test_rejudge_names_unknown_runs(db):
    with pytest.raises(CommandError, match="Unknown runs: absent"):
        call_command("rejudge", "absent")
    with pytest.raises(CommandError, match="Name runs"):
        call_command("rejudge")


@pytest.mark.parametrize(("memory_bytes", "name"), [(1, "capacity"), (10**15, "compute")])
def test_memory_is_the_limit_if_it_alone_refuses_a_faster_plan(trained, monkeypatch, memory_bytes, name):
    """Recomputing costs a quarter of this step; the planner says whether memory requires it."""
    profile = planner.profile_from_peak(peaks.find_peak("NVIDIA T4"))
    small = dataclasses.replace(profile, memory_bytes=memory_bytes)
    monkeypatch.setattr("jobs.planning.plans.get_profile", lambda pool: small)
    job = trained({}, {}, changes=("parallel.activation_checkpointing=full",))
    kept = verdicts.judge_run(job.run)
    assert (kept.name, kept.limit) == (name, "memory" if name == "capacity" else "compute")
    assert kept.severity == ("notable" if name == "capacity" else "")  # an estimate is never strong
