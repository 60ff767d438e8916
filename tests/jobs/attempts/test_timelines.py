"""Pipeline bubble of a recorded step."""

from __future__ import annotations

import pytest

from jobs.attempts.timelines import Bubble, measure_bubble, waiting_share
from jobs.models import StepTimeline


def rank(stage: int, waited_us: int, micro_batches: int = 4) -> StepTimeline:
    events = [["forward", number, 1000 * number, 900, 0] for number in range(micro_batches)]
    return StepTimeline(
        rank=stage, stage=stage, step_s=1.0, events=[*events, ["collective", 0, 0, 0, waited_us]]
    )


def test_the_bubble_is_the_mean_share_of_waiting_over_the_ranks():
    ranks = [rank(0, 200_000), rank(1, 400_000)]
    assert waiting_share(ranks[0]) == pytest.approx(0.2)
    found = measure_bubble(ranks)
    assert (found.share, found.ideal_share) == (pytest.approx(0.3), pytest.approx(1 / 5))
    assert (found.stages, found.micro_batches) == (2, 4)


def test_there_is_no_bubble_without_a_pipeline_or_a_forward_pass():
    assert measure_bubble([rank(0, 100_000)]) is None
    assert measure_bubble([rank(0, 0, micro_batches=0), rank(1, 0, micro_batches=0)]) is None
    assert measure_bubble([]) is None


def test_stages_are_uneven_well_above_the_ideal_bubble():
    assert not Bubble(0.25, 0.2, 2, 4).is_uneven
    assert Bubble(0.27, 0.2, 2, 4).is_uneven
