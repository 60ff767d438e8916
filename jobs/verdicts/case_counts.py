"""Cases that predictions and verdicts were held against, in tests and here.

Unseen cases are those that nobody had before the thing was built: set aside before constants were tuned, drawn anew by
a seed, or configurations that no earlier run had. tests/jobs/verdicts/test_case_counts.py compares the numbers of the
table with the tests that it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.models import VerdictCheck
from jobs.verdicts.accuracy import JudgedForecast


@dataclass(frozen=True)
class CaseCount:
    """`result` is dated: of the version of that day."""

    title: str
    count: int
    num_unseen: int
    result: str
    source: str  # test, or page


ENGINE_CASES: tuple[CaseCount, ...] = (
    CaseCount(
        "Verdicts of generated runs", 720, 720,
        "719 named right, no clean one strong; first remedy off by 0.3 to 0.5 points in the median (2026-12-01)",
        "tests/engine/verdict/test_generated_cases.py",
    ),
    CaseCount(
        "Verdicts of injected bottlenecks in real ranks", 36, 0,
        "36 named right; claimed against saved: 0.3 points in the median, worst 5.4 (2026-12-01)",
        "tests/perf/test_injected_bottlenecks.py",
    ),
    CaseCount(
        "Claims of remedies on drawn specs", 599, 599,
        "without pipelines exactly the step model's; with them 1.2 points off in the median (2026-12-01)",
        "tests/engine/verdict/test_remedies.py",
    ),
    CaseCount(
        "Readings of devices with a fault, and their clean twins", 450, 450,
        "all named, no clean one (2026-12-01)", "tests/engine/verdict/test_read_metrics.py",
    ),
    CaseCount(
        "Published GPU configurations that ran", 118, 59,
        "none said not to fit; throughput of the half set aside: 8.9 % off in the median, of the other 6.3 % "
        "(2026-11-30)",
        "tests/engine/planner/test_public_configurations.py",
    ),
)  # fmt: skip


def count_database_cases(rows: Sequence[JudgedForecast]) -> list[CaseCount]:
    """Judged figures, and verdicts that a twin has checked, of all teams."""
    found = [
        CaseCount(
            "Predicted and measured figures", len(rows), sum(row.is_unseen for row in rows),
            "unseen: of a configuration that no earlier run on the same device had", "the runs above",
        )
    ]  # fmt: skip
    checks = list(VerdictCheck.objects.filter(observed_share__isnull=False))
    if checks:
        held = sum(bool(check.holds) for check in checks)
        result = f"{held} within five points of the claim"
        found.append(CaseCount("Verdicts checked by a twin", len(checks), len(checks), result, "run pages"))
    return found
