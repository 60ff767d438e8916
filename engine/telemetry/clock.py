"""Parts of the wall clock of an attempt, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["start", "steps", "between", "end", "unknown"]


@dataclass(frozen=True)
class ClockPart:
    """`group`: start (before the second step), steps, between (steps), end, or unknown."""

    name: str
    title: str
    group: Group
    meaning: str
    colour: str  # token of tokens.css


# In the order in which they are shown. Rank 0 measures all but five: `launch` and `ending` are what the attempt held
# its devices before and after the rank, `lost_steps` is the part of the steps that a later attempt repeated,
# `unmarked` is the time of a script that Fourwalls did not launch, and `unexplained` is what is in no other part.
# Together they are the wall clock.
CLOCK_PARTS: tuple[ClockPart, ...] = (
    ClockPart("launch", "Launch", "start", "From the lease of the devices to the process of rank 0", "calm"),
    ClockPart("imports", "Imports", "start", "The process of the rank until its libraries are loaded", "series-7"),
    ClockPart("data", "Data preparation", "start", "Reading, tokenising and checking the data", "series-4"),
    ClockPart("build", "Build", "start", "Process group, model, optimiser and the state to resume from", "series-3"),
    ClockPart("first_step", "First step", "start", "Kernels are chosen and allocators fill in it", "series-6"),
    ClockPart("step", "Steps", "steps", "Steps whose result is kept, without the first of an attempt", "series-1"),
    ClockPart("lost_steps", "Lost steps", "steps", "Steps that no checkpoint kept: repeated, or given up", "bad"),
    ClockPart("validation", "Validation", "between", "Loss and scores on held-out data, between two steps", "series-2"),
    ClockPart("outputs", "Sample outputs", "between", "Outputs that the model generates at a validation", "series-5"),
    ClockPart("checkpoint", "Checkpoints", "between", "Waiting for the copy of the state or the last save", "series-8"),
    ClockPart("recording", "Recording", "between", "Writing metrics, logs and traces", "warn"),
    ClockPart("recovery", "Recovery", "between", "Returning to a checkpoint after a diverged step", "series-6"),
    ClockPart("between_steps", "Other between steps", "between", "The rest of the time between two steps", "series-3"),
    ClockPart("asleep", "Machine asleep", "between", "The machine was suspended, or its clock was set forward", "calm"),
    ClockPart("closing", "After the last step", "end", "Last validation, last checkpoint and the result", "series-6"),
    ClockPart("ending", "Ending", "end", "From the last record of rank 0 to the release of the devices", "calm"),
    ClockPart("unmarked", "Not marked", "unknown", "Inside the script of a logged run, which marks no steps", "calm"),
    ClockPart("unexplained", "Unexplained", "unknown", "In no part: no rank recorded it", "ink-3"),
)  # fmt: skip
BY_NAME: dict[str, ClockPart] = {part.name: part for part in CLOCK_PARTS}
# The training loop after the first step. Throughput by the clock is measured over these.
LOOP_PARTS: tuple[str, ...] = tuple(part.name for part in CLOCK_PARTS if part.group in ("steps", "between"))
START_PARTS: tuple[str, ...] = tuple(part.name for part in CLOCK_PARTS if part.group == "start")
UNMEASURED = ("launch", "lost_steps", "ending", "unmarked", "unexplained")
MEASURED_PARTS: tuple[str, ...] = tuple(part.name for part in CLOCK_PARTS if part.name not in UNMEASURED)


def get_loop_s(seconds: dict[str, float]) -> float:
    """Seconds of the training loop after its first step."""
    return sum(seconds.get(name, 0.0) for name in LOOP_PARTS)
