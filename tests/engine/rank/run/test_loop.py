"""When a run ends, by what its ranks agreed on at a step border."""

from __future__ import annotations

import pytest

from engine.directory import EXIT_LATE, EXIT_STOPPED
from engine.rank.run.exit_codes import EXIT_DIVERGED, EXIT_DONE
from engine.rank.run.loop import Border, ending_of

NAN = float("nan")


@pytest.mark.parametrize(
    ("done", "border", "wrong", "exit_code", "text"),
    [
        (10, Border(1.0, False, False, False), "", EXIT_DONE, "Finished all 10 steps."),
        (10, Border(1.0, True, True, False), "", EXIT_DONE, "Finished all 10 steps."),
        (4, Border(1.0, True, True, False), "", EXIT_STOPPED, "Stopped on request after step 4 of 10."),
        (4, Border(1.0, False, True, False), "", EXIT_LATE, "The time limit was reached after step 4 of 10."),
        (
            10,
            Border(NAN, True, False, False),
            "The loss is nan",
            EXIT_DIVERGED,
            "The loss is nan at step 10: training",
        ),
    ],
)
def test_a_run_ends_for_the_weightiest_reason(
    done: int, border: Border, wrong: str, exit_code: int, text: str
) -> None:
    ending = ending_of(10, done, border, last_step=10, wrong=wrong)
    assert ending
    assert ending.exit_code == exit_code
    assert ending.text.startswith(text)


def test_otherwise_it_goes_on() -> None:
    assert ending_of(10, 9, Border(1.0, False, False, False), last_step=10) is None


def test_it_halts_where_it_was_told_to() -> None:
    ending = ending_of(10, 4, Border(1.0, True, True, False), last_step=4)
    assert ending and (ending.exit_code, ending.text) == (
        EXIT_STOPPED,
        "Halted after step 4 of 10, as planned.",
    )
    assert ending_of(10, 3, Border(1.0, False, False, False), last_step=4) is None
