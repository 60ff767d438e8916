"""Verdicts of runs: gathering, storage, lookup and checks by twins."""

from jobs.verdicts.checks import CannotCheck, advance_checks, check_verdict, newest_check
from jobs.verdicts.gather import facts_of
from jobs.verdicts.judging import current, judge_run, verdicts_of
from jobs.verdicts.watching import Judge

__all__ = [
    "CannotCheck",
    "Judge",
    "advance_checks",
    "check_verdict",
    "current",
    "facts_of",
    "judge_run",
    "newest_check",
    "verdicts_of",
]
