"""Checking a verdict by a twin: the run's spec for 30 steps, once as it was and once with one change.

Both are ordinary jobs of whoever asks, one after the other so that neither disturbs the other.
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
from engine.verdict.twins import NoTwin, twin_of
from engine.verdict.whatif import gain_of
from jobs.models import CheckState, Event, Run, RunTag, RunVerdict, VerdictCheck
from jobs.queue import job_actions
from jobs.states.jobs import FINAL, JobState, StateError
from jobs.verdicts.gather import facts_of

LIVE = (CheckState.BASELINE, CheckState.TWIN)
RECENT = timedelta(
    hours=1
)  # so long a GPU run may stand for itself; on shared cores conditions change by the minute
TAG = "twin"
ACTOR = "judge"
CONTENDED = "Others competed for the cores while they ran, so that a difference says little."


class CannotCheck(StateError):
    """No twin can test this verdict, or one is under way; the message says why."""


def check_verdict(run: Run, actor: User) -> VerdictCheck:
    """Queue what is needed to test the run's verdict. Raises CannotCheck, and SpecError where the pool refuses."""
    if newest := run.checks.filter(state__in=LIVE).first():
        raise CannotCheck(f"A check asked for by {newest.actor.get_username()} is under way.")
    facts = facts_of(run)
    try:
        twin = twin_of(judge(facts), facts)
    except NoTwin as error:
        raise CannotCheck(str(error)) from None
    with transaction.atomic():
        check = VerdictCheck(
            run=run, rule=twin.rule, changes=dict(twin.changes), twin_spec=twin.spec.model_dump(),
            predicted_share=twin.predicted_share, actor=actor, state=CheckState.BASELINE,
        )  # fmt: skip
        if _stands_for_itself(run):
            check.baseline = run
            check.twin = _submit(run, twin.spec, actor, "twin")
            check.state = CheckState.TWIN
        else:
            check.baseline = _submit(run, twin.baseline, actor, "baseline")
        check.save()
        _tell(
            check,
            f"Verdict '{twin.rule}' is checked by a run with {_said(check.changes)}.",
            actor.get_username(),
        )
    return check


def newest_check(run: Run) -> VerdictCheck | None:
    return run.checks.select_related("actor", "baseline__job", "twin__job").first()


def advance_checks() -> int:
    """Take every check that is under way as far as its runs allow; returns how many moved."""
    rows = VerdictCheck.objects.filter(state__in=LIVE)
    return sum(map(_advance, rows.select_related("run", "actor", "baseline__job", "twin__job")))


def _advance(check: VerdictCheck) -> bool:
    waits_for = check.baseline if check.state == CheckState.BASELINE else check.twin
    if waits_for is None:
        return _move(check, CheckState.FAILED, reason="The run it waited for was deleted.")
    if waits_for.job is None or waits_for.job.state not in FINAL:
        return False
    if waits_for.job.state != JobState.SUCCEEDED:
        what = "baseline" if check.state == CheckState.BASELINE else "twin"
        said = f"The {what} was {waits_for.job.state}: {waits_for.job.reason}"
        return _move(check, CheckState.FAILED, reason=said)
    if not _is_judged(waits_for):
        return False
    if not _token_s(waits_for):
        return _move(check, CheckState.FAILED, reason="A short run left no steady step to compare.")
    return _go_on(check) if check.state == CheckState.BASELINE else _conclude(check)


def _go_on(check: VerdictCheck) -> bool:
    """From the baseline to the twin, with what the change should save by the phases of the baseline: those are of the
    conditions under which the twin will run. Whoever moves the state submits, so that there is one twin."""
    assert check.baseline is not None
    gain = gain_of(facts_of(check.baseline), parse(check.twin_spec))
    predicted: dict[str, Any] = {} if gain.share is None else {"predicted_share": gain.share}
    try:
        with transaction.atomic():
            if not _move(check, CheckState.TWIN, **predicted):
                return False
            twin = _submit(check.run, parse(check.twin_spec), check.actor, "twin")
            VerdictCheck.objects.filter(id=check.id).update(twin=twin)
            _tell(check, f"The baseline has ended; the twin is run {twin.id}.")
    except SpecError as error:
        return _move(check, CheckState.FAILED, reason=f"The twin was refused: {error}")
    return True


def _conclude(check: VerdictCheck) -> bool:
    before = _token_s(check.baseline) if check.baseline else None
    after = _token_s(check.twin) if check.twin else None
    if not before or not after:
        return _move(check, CheckState.FAILED, reason="The run it is compared with was deleted.")
    observed = 1 - after / before
    said = f"predicted {_change(check.predicted_share)} time a token, observed {_change(observed)}"
    doubt = CONTENDED if any(_was_contended(run) for run in (check.baseline, check.twin)) else ""
    told = f"The verdict has been checked: {said}. {doubt}".strip()
    return _move(check, CheckState.DONE, told, observed_share=observed, reason=doubt)


@transaction.atomic
def _move(check: VerdictCheck, to: CheckState, said: str = "", **fields: Any) -> bool:
    """One conditional UPDATE with its event; False: somebody else moved it first."""
    if to not in LIVE:
        fields["ended_at"] = timezone.now()
    rows = VerdictCheck.objects.filter(id=check.id, state=check.state)
    if not rows.update(state=to, **fields):
        return False
    if said or fields.get("reason"):
        _tell(check, said or f"The verdict could not be checked. {fields['reason']}")
    return True


def _tell(check: VerdictCheck, text: str, actor: str = ACTOR) -> None:
    """In the story of the run; open pages hear of it too."""
    if check.run.job_id:
        Event.objects.create(job_id=check.run.job_id, actor=actor, kind="note.info", text=text)


def _change(share: float) -> str:
    return f"{100 * abs(share):.1f} % {'less' if share >= 0 else 'more'}"


def _stands_for_itself(run: Run) -> bool:
    """Whether the run is its own baseline: sure of itself, just ended, and on devices that nobody shares."""
    if run.job is None or run.job.ended_at is None or timezone.now() - run.job.ended_at > RECENT:
        return False
    kept = run.verdicts.order_by("-rules_version").first()
    attempt = run.job.attempts.order_by("-number").first()
    if kept is None or kept.is_provisional or attempt is None:
        return False
    return not attempt.leases.filter(device__kind="cpu").exists()


def _submit(run: Run, spec: Spec, actor: User, role: str) -> Run:
    named = spec.model_copy(update={"name": f"{role} of {run.name}"[:100]})
    job = job_actions.submit(spec=named, team=run.team, owner=actor, cloned_from=run)
    found = job.run
    found.parent = run
    found.save(update_fields=["parent"])
    RunTag.objects.create(run=found, key=TAG, value=role)
    return found


def _is_judged(run: Run) -> bool:
    return RunVerdict.objects.filter(run=run, is_final=True).exists()


def _was_contended(run: Run | None) -> bool:
    kept = run.verdicts.order_by("-rules_version").first() if run else None
    return kept is not None and any(state["rule"] == "contended" for state in kept.body["states"])


def _token_s(run: Run) -> float | None:
    """Seconds a token of its steady steps, as its verdict has them."""
    kept = RunVerdict.objects.filter(run=run, is_final=True).order_by("-rules_version").first()
    step_s = kept.body.get("step_s") if kept else None
    return step_s / counts.tokens_per_step(parse(run.spec)) if step_s else None


def _said(changes: dict[str, Any]) -> str:
    return ", ".join(f"{path} = {value}" for path, value in changes.items())
