"""Parts of a measurement, their cases and their time budgets."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from tests.gpu.rank_bench import RankBench
from tests.gpu.results import ABSENT, DRY_RUN, FAILED, MEASURED, PartResult, Row

ERROR_CHARACTERS = 600


@dataclass(frozen=True)
class MeasuredCase:
    """One thing to measure; it may give rows of several quantities."""

    quantity: str
    asked: str
    measure: Callable[[RankBench], list[Row]]


@dataclass(frozen=True)
class Part:
    name: str
    title: str
    budget_s: float  # of ten minutes
    cases: Callable[[RankBench], Sequence[MeasuredCase]]


class OutOfTime(BaseException):
    """Raised by the alarm; no handler of Exception stops it."""


def run_part(
    part: Part, bench: RankBench, budget_s: float, most_cases: int, show: Callable[[str], None]
) -> PartResult:
    """Measure every case; one that fails has its error in its row, and those without time are listed."""
    result = PartResult(part.name, part.title, bench.is_dry, budget_s)
    began = time.monotonic()
    cases: Sequence[MeasuredCase] = ()
    num_measured = 0
    try:
        with _alarm(budget_s):
            cases = part.cases(bench)[:most_cases]
            for case in cases:
                found = _measure(case, bench)
                result.rows += found
                num_measured += 1
                for row in found:
                    show(f"  {row.quantity}: {row.asked}: {row.standing} {row.note}".rstrip())
    except OutOfTime:
        result.state, result.error = "out of time", f"its {budget_s:.0f} s are over"
        bench.reset()
        late = cases[num_measured:]
        result.rows += [Row(case.quantity, case.asked, standing=ABSENT, note="no time left") for case in late]
    except Exception as error:  # noqa: BLE001 - the other parts go on
        result.state, result.error = "failed", _describe(error)
        bench.reset()
    if cases and all(row.standing == FAILED for row in result.rows):
        result.state, result.error = "failed", "no case succeeded"
    result.took_s = time.monotonic() - began
    return result


def _measure(case: MeasuredCase, bench: RankBench) -> list[Row]:
    try:
        rows = case.measure(bench)
    except Exception as error:  # noqa: BLE001 - the other cases go on
        bench.reset()
        return [Row(case.quantity, case.asked, standing=FAILED, note=_describe(error))]
    for row in rows:
        if bench.is_dry and row.standing == MEASURED:
            row.standing = DRY_RUN
    return rows


def _describe(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[-ERROR_CHARACTERS:]}"


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the main thread once the seconds are over."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(0.01, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
