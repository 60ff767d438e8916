"""Verdicts of runs as stored rows, renewed as a run goes on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from engine.verdict import results
from engine.verdict.facts import Facts
from engine.verdict.judge import RULES_VERSION, Verdict, judge
from engine.verdict.unlimited import find_unlimited_gain
from jobs import ledger
from jobs.models import Run, RunVerdict
from jobs.states.jobs import FINAL
from jobs.verdicts import foreign
from jobs.verdicts.gather import collect_facts
from jobs.verdicts.planning import add_plans

FRESH = timedelta(seconds=5)  # a page that refreshes faster gets the same verdict


def judge_run(run: Run, facts: Facts | None = None) -> RunVerdict:
    """Judge by the current rules. Verdicts of older rules are kept."""
    facts = facts or collect_facts(run)
    facts = facts.replace(unlimited_gain_share=find_unlimited_gain(facts) if run.job else None)
    if (found := ledger.build_ledger(run)) is not None:
        ledger.store_ledger(run, found)
    verdict = judge(facts) if run.job else foreign.judge_logged(facts)
    return _store(run, add_plans(run, verdict))


def get_current(run: Run) -> RunVerdict:
    """The stored verdict by the newest rules that have judged the run; a new one if it is stale."""
    stored = run.verdicts.order_by("-rules_version").first()
    return judge_run(run) if stored is None or _is_stale(run, stored) else stored


def get_verdicts(run_ids: Collection[str]) -> dict[str, Verdict]:
    """Run -> its stored verdict; runs that were never judged are left out. One query."""
    rows = RunVerdict.objects.filter(run__in=list(run_ids)).order_by("rules_version")
    return {run_id: results.from_json(body) for run_id, body in rows.values_list("run_id", "body")}


def _is_stale(run: Run, stored: RunVerdict) -> bool:
    job = run.job
    if job is None:
        is_due = run.state in FINAL or timezone.now() - stored.at >= FRESH
        return is_due and foreign.is_stale(run, stored.at, stored.is_final)
    if stored.is_final:  # unless the job was resumed
        return job.state not in FINAL and job.step != stored.step
    has_moved = job.state in FINAL or job.step != stored.step or job.attempt_number != stored.attempt
    return has_moved and (job.state in FINAL or timezone.now() - stored.at >= FRESH)


def _store(run: Run, verdict: Verdict) -> RunVerdict:
    job = run.job
    values = {
        "at": timezone.now(),
        "step": job.step if job else 0,
        "attempt": job.attempt_number if job else 0,
        "is_final": (job.state if job else run.state) in FINAL,
        "name": verdict.name,
        "limit": verdict.limit,
        "share": verdict.share,
        "severity": verdict.severity,
        "is_provisional": bool(verdict.provisional),
        "body": results.to_json(verdict),
    }
    try:
        with transaction.atomic():
            stored, _ = RunVerdict.objects.update_or_create(
                run=run, rules_version=verdict.rules_version, defaults=values
            )
    except IntegrityError:  # another process judged it at the same moment, from the same rows
        return RunVerdict.objects.get(run=run, rules_version=RULES_VERSION)
    return stored
