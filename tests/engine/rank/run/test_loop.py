"""End of a run by the values that its ranks agree on at a step boundary."""

from __future__ import annotations

import pytest

from engine.directory import EXIT_LATE, EXIT_STOPPED
from engine.rank.run.exit_codes import EXIT_DIVERGED, EXIT_DONE
from engine.rank.run.loop import StepSync, find_training_end

NAN = float("nan")


@pytest.mark.parametrize(
    ("done", "sync", "divergence", "exit_code", "text"),
    [
        (10, StepSync(1.0, False, False, False), "", EXIT_DONE, "Finished all 10 steps."),
        (10, StepSync(1.0, True, True, False), "", EXIT_DONE, "Finished all 10 steps."),
        (4, StepSync(1.0, True, True, False), "", EXIT_STOPPED, "Stopped on request after step 4 of 10."),
        (
            4,
            StepSync(1.0, False, True, False),
            "",
            EXIT_LATE,
            "The time limit was reached after step 4 of 10.",
        ),
        (
            10,
            StepSync(NAN, True, False, False),
            "The loss is nan",
            EXIT_DIVERGED,
            "The loss is nan at step 10: training",
        ),
    ],
)
def test_a_run_ends_for_the_reason_of_the_highest_priority(
    done: int, sync: StepSync, divergence: str, exit_code: int, text: str
) -> None:
    end = find_training_end(10, done, sync, last_step=10, divergence=divergence)
    assert end
    assert end.exit_code == exit_code
    assert end.text.startswith(text)


def test_a_run_without_a_reason_to_end_continues() -> None:
    assert find_training_end(10, 9, StepSync(1.0, False, False, False), last_step=10) is None


def test_a_run_halts_at_its_planned_step() -> None:
    end = find_training_end(10, 4, StepSync(1.0, True, True, False), last_step=4)
    assert end and (end.exit_code, end.text) == (
        EXIT_STOPPED,
        "Halted after step 4 of 10, as planned.",
    )
    assert find_training_end(10, 3, StepSync(1.0, False, False, False), last_step=4) is None
