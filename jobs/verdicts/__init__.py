"""Verdicts of runs: facts, storage, lookup and checks by twins."""

from jobs.verdicts.checks import CannotCheck, advance_checks, check_verdict, get_newest_check
from jobs.verdicts.gather import collect_facts
from jobs.verdicts.judging import get_current, get_verdicts, judge_run
from jobs.verdicts.loop import JudgeLoop

__all__ = [
    "CannotCheck",
    "JudgeLoop",
    "advance_checks",
    "check_verdict",
    "collect_facts",
    "get_current",
    "get_newest_check",
    "get_verdicts",
    "judge_run",
]
