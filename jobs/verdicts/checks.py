"""Checks of a verdict by a twin of 30 steps with one change.

Both are ordinary jobs of the user who asks. They run one after the other, so that neither disturbs the other.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from engine.model_math import counts
from engine.spec.spec import Spec, SpecError, parse
from engine.verdict.judge import judge
from engine.verdict.rules import contended
from engine.verdict.twins import NoTwin, build_twin
from engine.verdict.whatif import predict_gain
from jobs.models import CheckState, Event, Run, RunTag, RunVerdict, VerdictCheck
from jobs.queue import job_actions
from jobs.states.jobs import FINAL, JobState, StateError
from jobs.verdicts.gather import collect_facts

LIVE = (CheckState.BASELINE, CheckState.TWIN)
# A GPU run is its own baseline this long after its end. On shared cores conditions change by the minute.
RECENT = timedelta(hours=1)
TAG = "twin"
ACTOR = "judge"
CONTENDED = "Other processes competed for the cores meanwhile, so the difference is inconclusive."


class CannotCheck(StateError):
    """No twin can test this verdict, or a check is under way; the message gives the reason."""


def check_verdict(run: Run, actor: User) -> VerdictCheck:
    """Queue the jobs that test the run's verdict. Raises CannotCheck, and SpecError if the pool refuses."""
    if newest := run.checks.filter(state__in=LIVE).first():
        raise CannotCheck(f"A check asked for by {newest.actor.get_username()} is under way.")
    facts = collect_facts(run)
    try:
        twin = build_twin(judge(facts), facts)
    except NoTwin as error:
        raise CannotCheck(str(error)) from None
    with transaction.atomic():
        check = VerdictCheck(
            run=run, rule=twin.rule, changes=dict(twin.changes), twin_spec=twin.spec.model_dump(),
            predicted_share=twin.predicted_share, actor=actor, state=CheckState.BASELINE,
        )  # fmt: skip
        if _is_own_baseline(run):
            check.baseline = run
            check.twin = _submit(run, twin.spec, actor, "twin")
            check.state = CheckState.TWIN
        else:
            check.baseline = _submit(run, twin.baseline, actor, "baseline")
        check.save()
        message = f"Verdict '{twin.rule}' is checked by a run with {_format_changes(check.changes)}."
        _record_event(check, message, actor.get_username())
    return check


def get_newest_check(run: Run) -> VerdictCheck | None:
    return run.checks.select_related("actor", "baseline__job", "twin__job").first()


def advance_checks() -> int:
    """Advance the checks under way as far as their runs allow; returns the number that moved."""
    rows = VerdictCheck.objects.filter(state__in=LIVE)
    return sum(map(_advance, rows.select_related("run", "actor", "baseline__job", "twin__job")))


def _advance(check: VerdictCheck) -> bool:
    waits_for = check.baseline if check.state == CheckState.BASELINE else check.twin
    if waits_for is None:
        return _move(check, CheckState.FAILED, reason="The run it waited for was deleted.")
    if waits_for.job is None or waits_for.job.state not in FINAL:
        return False
    if waits_for.job.state != JobState.SUCCEEDED:
        role = "baseline" if check.state == CheckState.BASELINE else "twin"
        reason = f"The {role} was {waits_for.job.state}: {waits_for.job.reason}"
        return _move(check, CheckState.FAILED, reason=reason)
    if not _is_judged(waits_for):
        return False
    if not _get_token_s(waits_for):
        return _move(check, CheckState.FAILED, reason="A short run left no steady step to compare.")
    return _start_twin(check) if check.state == CheckState.BASELINE else _conclude(check)


def _start_twin(check: VerdictCheck) -> bool:
    """Submit the twin, with the saving predicted from the baseline's phases: the twin runs under the same conditions.
    Only the process that moves the state submits, so there is one twin."""
    assert check.baseline is not None
    gain = predict_gain(collect_facts(check.baseline), parse(check.twin_spec))
    predicted: dict[str, Any] = {} if gain.share is None else {"predicted_share": gain.share}
    try:
        with transaction.atomic():
            if not _move(check, CheckState.TWIN, **predicted):
                return False
            twin = _submit(check.run, parse(check.twin_spec), check.actor, "twin")
            VerdictCheck.objects.filter(id=check.id).update(twin=twin)
            _record_event(check, f"The baseline has ended; the twin is run {twin.id}.")
    except SpecError as error:
        return _move(check, CheckState.FAILED, reason=f"The twin was refused: {error}")
    return True


def _conclude(check: VerdictCheck) -> bool:
    before = _get_token_s(check.baseline) if check.baseline else None
    after = _get_token_s(check.twin) if check.twin else None
    if not before or not after:
        return _move(check, CheckState.FAILED, reason="The run it is compared with was deleted.")
    observed = 1 - after / before
    figures = (
        f"predicted {_format_saving(check.predicted_share)} time a token, observed {_format_saving(observed)}"
    )
    reason = CONTENDED if any(_was_contended(run) for run in (check.baseline, check.twin)) else ""
    message = f"The verdict has been checked: {figures}. {reason}".strip()
    return _move(check, CheckState.DONE, message, observed_share=observed, reason=reason)


@transaction.atomic
def _move(check: VerdictCheck, to: CheckState, message: str = "", **fields: Any) -> bool:
    """One conditional UPDATE with its event; False if another process moved it first."""
    if to not in LIVE:
        fields["ended_at"] = timezone.now()
    rows = VerdictCheck.objects.filter(id=check.id, state=check.state)
    if not rows.update(state=to, **fields):
        return False
    if message or fields.get("reason"):
        _record_event(check, message or f"The verdict could not be checked. {fields['reason']}")
    return True


def _record_event(check: VerdictCheck, text: str, actor: str = ACTOR) -> None:
    """Add an event to the run's history; open pages receive it too."""
    if check.run.job_id:
        Event.objects.create(job_id=check.run.job_id, actor=actor, kind="note.info", text=text)


def _format_saving(share: float) -> str:
    return f"{100 * abs(share):.1f} % {'less' if share >= 0 else 'more'}"


def _is_own_baseline(run: Run) -> bool:
    """Whether the run needs no other baseline: a sure verdict, a recent end, and devices that are not shared."""
    if run.job is None or run.job.ended_at is None or timezone.now() - run.job.ended_at > RECENT:
        return False
    stored = run.verdicts.order_by("-rules_version").first()
    attempt = run.job.attempts.order_by("-number").first()
    if stored is None or stored.is_provisional or attempt is None:
        return False
    return not attempt.leases.filter(device__kind="cpu").exists()


def _submit(run: Run, spec: Spec, actor: User, role: str) -> Run:
    named = spec.model_copy(update={"name": f"{role} of {run.name}"[:100]})
    job = job_actions.submit(spec=named, team=run.team, owner=actor, cloned_from=run)
    submitted = job.run
    submitted.parent = run
    submitted.save(update_fields=["parent"])
    RunTag.objects.create(run=submitted, key=TAG, value=role)
    return submitted


def _is_judged(run: Run) -> bool:
    return RunVerdict.objects.filter(run=run, is_final=True).exists()


def _was_contended(run: Run | None) -> bool:
    stored = run.verdicts.order_by("-rules_version").first() if run else None
    return stored is not None and any(state["rule"] == contended.RULE.id for state in stored.body["states"])


def _get_token_s(run: Run) -> float | None:
    """Seconds per token of the steady steps, from the stored verdict."""
    stored = RunVerdict.objects.filter(run=run, is_final=True).order_by("-rules_version").first()
    step_s = stored.body.get("step_s") if stored else None
    return step_s / counts.tokens_per_step(parse(run.spec)) if step_s else None


def _format_changes(changes: dict[str, Any]) -> str:
    return ", ".join(f"{path} = {value}" for path, value in changes.items())
