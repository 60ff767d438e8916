"""Checks of a verdict by a baseline and a twin, one after the other."""

from __future__ import annotations

import pytest

from jobs import verdicts
from jobs.models import Attempt, CheckState, Job, Run, RunVerdict, VerdictCheck
from jobs.states.jobs import JobState
from jobs.verdicts.checks import CannotCheck
from tests.jobs.verdicts.recording import record_steps

SLOW_LINK = ({"communication_s": 0.05}, {})


def finish(run: Run, node, *ranks: dict[str, float], **more) -> None:
    """Run the job of a short run to its end and judge it."""
    attempt = Attempt.objects.create(job=run.job, node=node, number=1)
    record_steps(run.job, attempt, *ranks, steps=30, state=JobState.SUCCEEDED, **more)
    verdicts.judge_run(Run.objects.select_related("job").get(id=run.id))


def test_a_check_runs_a_baseline_then_a_twin_and_compares_them(trained, node, owner):
    job = trained(*SLOW_LINK, state=JobState.SUCCEEDED)
    check = verdicts.check_verdict(job.run, owner)
    assert (check.state, check.rule) == (CheckState.BASELINE, "communication")
    assert check.changes == {"batch.global_batch_size": 32}
    baseline = check.baseline
    assert baseline.parent_id == job.run.id and baseline.tags.get(key="twin").value == "baseline"
    assert (baseline.job.num_steps, baseline.spec["budget"]["validate_every"]) == (30, 0)
    assert baseline.job.cloned_from_id == job.run.id
    assert verdicts.advance_checks() == 0  # it has not run yet

    finish(baseline, node, *SLOW_LINK)
    assert verdicts.advance_checks() == 1
    check.refresh_from_db()
    assert check.state == CheckState.TWIN and check.twin.spec["batch"]["global_batch_size"] == 32
    finish(
        check.twin,
        node,
        *(
            {"forward_s": 0.06, "backward_s": 0.12, "communication_s": 0.05},
            {"forward_s": 0.06, "backward_s": 0.12},
        ),
    )
    assert verdicts.advance_checks() == 1
    check.refresh_from_db()
    assert check.state == CheckState.DONE and check.ended_at
    assert check.observed_share == pytest.approx(1 - 0.242 / 2 / 0.152, abs=0.01)
    assert check.predicted_share == pytest.approx(check.observed_share, abs=0.05)


def test_the_prediction_uses_the_phases_of_the_baseline(trained, node, owner):
    check = verdicts.check_verdict(trained(*SLOW_LINK, state=JobState.SUCCEEDED).run, owner)
    before = check.predicted_share
    finish(check.baseline, node, {"communication_s": 0.01}, {})
    verdicts.advance_checks()
    check.refresh_from_db()
    assert check.predicted_share < before / 2


def test_a_contended_host_makes_the_result_inconclusive(trained, node, owner):
    check = verdicts.check_verdict(trained(*SLOW_LINK, state=JobState.SUCCEEDED).run, owner)
    finish(check.baseline, node, *SLOW_LINK)
    verdicts.advance_checks()
    check.refresh_from_db()
    finish(check.twin, node, *SLOW_LINK, readings={"cpu_pressure_share": 0.9})
    verdicts.advance_checks()
    check.refresh_from_db()
    assert check.state == CheckState.DONE and "competed" in check.reason
    assert check.run.job.events.filter(actor="judge", text__contains="observed").exists()


def test_only_one_check_at_a_time(trained, owner):
    job = trained(*SLOW_LINK)
    verdicts.check_verdict(job.run, owner)
    with pytest.raises(CannotCheck, match="asked for by olga is under way"):
        verdicts.check_verdict(job.run, owner)
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("ranks", "why"),
    [
        (({"data_wait_s": 0.06}, {}), "no field of a spec changes how fast batches come"),
        (({"backward_s": 0.2}, {}), "how fast one rank is"),
    ],
)
def test_a_check_is_refused_if_no_spec_edit_can_test_the_verdict(trained, owner, ranks, why):
    job = trained(*ranks)
    with pytest.raises(CannotCheck, match=why):
        verdicts.check_verdict(job.run, owner)
    assert Job.objects.count() == 1 and not VerdictCheck.objects.exists()


def test_a_check_is_refused_without_a_verdict(make_job, owner):
    with pytest.raises(CannotCheck, match="No step has been made yet"):
        verdicts.check_verdict(make_job().run, owner)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_short_run_that_does_not_finish_ends_the_check_with_its_reason(trained, owner, state):
    check = verdicts.check_verdict(trained(*SLOW_LINK).run, owner)
    Job.objects.filter(id=check.baseline.job_id).update(state=state, reason="Rank 0 was killed.")
    verdicts.advance_checks()
    check.refresh_from_db()
    assert check.state == CheckState.FAILED and "Rank 0 was killed." in check.reason


def test_a_run_on_its_own_devices_is_its_own_baseline(trained, owner, node):
    node.devices.update(kind="cuda")
    job = trained(*SLOW_LINK, state=JobState.SUCCEEDED)
    verdicts.judge_run(job.run)
    check = verdicts.check_verdict(job.run, owner)
    assert (check.state, check.baseline_id) == (CheckState.TWIN, job.run.id)
    RunVerdict.objects.update(is_provisional=True)
    VerdictCheck.objects.all().delete()
    assert verdicts.check_verdict(job.run, owner).state == CheckState.BASELINE


def test_two_loops_make_one_twin(trained, node, owner):
    check = verdicts.check_verdict(trained(*SLOW_LINK).run, owner)
    finish(check.baseline, node, *SLOW_LINK)
    stale = VerdictCheck.objects.select_related("run", "actor", "baseline__job").get(id=check.id)
    assert verdicts.advance_checks() == 1
    from jobs.verdicts.checks import _advance

    assert not _advance(stale)
    assert Job.objects.filter(name__startswith="twin of").count() == 1


def test_a_twin_that_the_pool_refuses_ends_the_check_with_the_reason(trained, node, owner, pool):
    check = verdicts.check_verdict(trained(*SLOW_LINK).run, owner)
    finish(check.baseline, node, *SLOW_LINK)
    pool.is_open = False
    pool.save()
    verdicts.advance_checks()
    check.refresh_from_db()
    assert check.state == CheckState.FAILED and "closed" in check.reason
