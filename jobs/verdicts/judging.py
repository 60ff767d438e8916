"""Judging a run and keeping what came out; a run that goes on is judged anew when it has gone on far enough."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from engine.verdict import results
from engine.verdict.facts import Facts
from engine.verdict.judge import RULES_VERSION, Verdict, judge
from jobs.models import Run, RunVerdict
from jobs.states.jobs import FINAL
from jobs.verdicts.gather import facts_of
from jobs.verdicts.planning import unlimited_gain, with_plans

FRESH = timedelta(seconds=5)  # a page that refreshes faster gets the same verdict


def judge_run(run: Run, facts: Facts | None = None) -> RunVerdict:
    """By the rules of today, kept beside what older rules have said."""
    facts = facts or facts_of(run)
    facts = facts.without(unlimited_gain_share=unlimited_gain(run, facts))
    return _keep(run, with_plans(run, judge(facts)))


def current(run: Run) -> RunVerdict:
    """The verdict by the newest rules that have judged it; of a run that has gone on since, a new one."""
    kept = run.verdicts.order_by("-rules_version").first()
    return judge_run(run) if kept is None or _is_stale(run, kept) else kept


def verdicts_of(run_ids: Collection[str]) -> dict[str, Verdict]:
    """Run -> its kept verdict; runs that were never judged are left out. One query."""
    rows = RunVerdict.objects.filter(run__in=list(run_ids)).order_by("rules_version")
    return {run_id: results.from_json(body) for run_id, body in rows.values_list("run_id", "body")}


def _is_stale(run: Run, kept: RunVerdict) -> bool:
    job = run.job
    if job is None:
        return False
    if kept.is_final:  # unless it was taken up again
        return job.state not in FINAL and job.step != kept.step
    has_moved = job.state in FINAL or job.step != kept.step or job.attempt_number != kept.attempt
    return has_moved and (job.state in FINAL or timezone.now() - kept.at >= FRESH)


def _keep(run: Run, verdict: Verdict) -> RunVerdict:
    job = run.job
    values = {
        "at": timezone.now(),
        "step": job.step if job else 0,
        "attempt": job.attempt_number if job else 0,
        "is_final": job is None or job.state in FINAL,
        "name": verdict.name,
        "limit": verdict.limit,
        "share": verdict.share,
        "severity": verdict.severity,
        "is_provisional": bool(verdict.provisional),
        "body": results.to_json(verdict),
    }
    try:
        with transaction.atomic():
            kept, _ = RunVerdict.objects.update_or_create(
                run=run, rules_version=verdict.rules_version, defaults=values
            )
    except IntegrityError:  # somebody else judged it at the same moment, from the same rows
        return RunVerdict.objects.get(run=run, rules_version=RULES_VERSION)
    return kept
