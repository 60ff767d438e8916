"""Attempts of an imported run: repeated points, and the later ones.

The rule is that of our own client, for every tracker: a repeated step supersedes. It is applied to each metric for
itself, because a metric that was not repeated must not lose its points.

1. The points of a writer form passes: a new one begins where a step lies below the one before it.
2. A pass that repeats most of the steps in its range is a restart: it supersedes everything from its first step on. One
   that repeats a few supersedes these few. One that repeats none (several processes that write by turns) supersedes
   nothing.
3. Writers that ran at the same time do not supersede each other.

Charts supersede by attempt: a point is hidden if its step is not below the first step of a later attempt. `lay_out`
chooses attempts under which exactly the superseded points are hidden.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.imports.foreign import ForeignWriter
from jobs.series.codec import NO_STEP, Columns, Ints, concatenate

MAX_ATTEMPTS = 100
MAX_PASSES = 200  # of one writer and metric; beyond it, only steps that were repeated are superseded

Flags = npt.NDArray[np.bool_]


class Restart(NamedTuple):
    at_us: int
    metric: str
    step: int
    place: int  # of its first point among the points of the metric


@dataclass
class _MetricHistory:
    """The points of one metric over all writers, in the order of writing."""

    metric: str
    columns: Columns
    is_hidden: Flags
    restarts: list[Restart]


class Layout(NamedTuple):
    """Points by attempt and metric."""

    points: dict[int, dict[str, Columns]]
    num_superseded: int


def lay_out(writers: Sequence[ForeignWriter]) -> Layout:
    """The points of all writers, which are ordered by their start, with attempts counted from 1."""
    metrics = sorted({name for writer in writers for name, points in writer.series.items() if points})
    is_earlier = _earlier(writers)
    histories = [_replay(metric, writers, is_earlier, []) for metric in metrics]
    if found := [restart for history in histories for restart in history.restarts]:
        histories = [_replay(metric, writers, is_earlier, found) for metric in metrics]
    groups = _grouped([restart for history in histories for restart in history.restarts])
    first_steps = [min(restart.step for restart in group) for group in groups]
    hidden = [history.columns.steps[history.is_hidden] for history in histories if history.is_hidden.any()]
    lowest = min((int(steps.min()) for steps in hidden), default=None)
    if lowest is not None and (not first_steps or min(first_steps) > lowest):
        first_steps.insert(0, lowest)
    cuts = np.array(
        [min(first_steps[number:]) for number in range(len(first_steps))], dtype="<i8"
    )  # of each attempt but the last
    place_of = {
        (restart.metric, restart.place): number for number, group in enumerate(groups) for restart in group
    }
    points: dict[int, dict[str, Columns]] = defaultdict(dict)
    for history in histories:
        attempts = _attempts(history, cuts, place_of, len(first_steps) - len(groups))
        for attempt in np.unique(attempts).tolist():
            points[attempt][history.metric] = history.columns.only(attempts == attempt)
    return Layout(dict(points), sum(len(steps) for steps in hidden))


def _earlier(writers: Sequence[ForeignWriter]) -> Flags:
    """Row: writer, column: another one that ended before it started, or itself."""
    spans = [writer.span_us() or (0, 0) for writer in writers]
    ends = np.array([last for _, last in spans], dtype="<i8")
    starts = [
        max(first, 0 if writer.started_at is None else int(writer.started_at * 1e6))
        for writer, (first, _) in zip(writers, spans, strict=True)
    ]
    found = ends[None, :] <= np.array(starts, dtype="<i8")[:, None]
    return found | np.eye(len(spans), dtype=bool)


def _replay(
    metric: str, writers: Sequence[ForeignWriter], is_earlier: Flags, known: list[Restart]
) -> _MetricHistory:
    """Go through the points of a metric in the order of writing. `known`: restarts of all metrics; between two points
    of one step, the restart of another metric shows that the step was repeated."""
    lengths = [len(writer.series.get(metric, ())) for writer in writers]
    columns = concatenate(
        [writer.series[metric].columns() for writer in writers if writer.series.get(metric)]
    )
    owner = np.repeat(np.arange(len(writers)), lengths)
    history = _MetricHistory(metric, columns, np.zeros(len(owner), dtype=bool), [])
    offset = 0
    for place, (writer, length) in enumerate(zip(writers, lengths, strict=True)):
        if length or writer.purges:
            own = slice(offset, offset + length)
            _replay_writer(history, writer, own, is_earlier[place][owner], known)
        offset += length
    return history


def _replay_writer(
    history: _MetricHistory, writer: ForeignWriter, own: slice, is_comparable: Flags, known: list[Restart]
) -> None:
    steps = history.columns.steps[own]
    purges: dict[int, int] = {}
    for purge in writer.purges:
        place = own.start + purge.lengths.get(history.metric, 0)
        purges[place] = min(purge.step, purges.get(place, purge.step))
    starts = {own.start, *purges}
    earlier = history.columns.steps[: own.start][is_comparable[: own.start]]
    if _repeats(steps) or np.isin(steps, earlier).any():
        starts |= {own.start + int(place) for place in _pass_starts(steps)}
    starts |= {own.start + int(place) for place in _made_again(history.columns.only(own), known)}
    if len(starts) > MAX_PASSES:
        _hide_repeated(history, own)
        return
    ordered = sorted(starts)
    for start, end in zip(ordered, [*ordered[1:], own.stop], strict=True):
        before = np.zeros(len(history.is_hidden), dtype=bool)
        before[:start] = is_comparable[:start]
        if start in purges:
            _hide_from(history, before, purges[start], start)
        if end > start:
            _compare(history, before, slice(start, end), is_new_writer=start == own.start)


def _repeats(steps: Ints) -> bool:
    """Whether a step was repeated after the writer had gone on to another."""
    changed = steps[np.concatenate([[True], steps[1:] != steps[:-1]])]
    return len(np.unique(changed)) < len(changed)


def _pass_starts(steps: Ints) -> Ints:
    return np.flatnonzero(steps[1:] < steps[:-1]) + 1


def _made_again(columns: Columns, known: list[Restart]) -> Ints:
    """The points at the step of the point before them, with a restart at or below this step in between."""
    places = np.flatnonzero(columns.steps[1:] == columns.steps[:-1]) + 1
    is_again = np.zeros(len(places), dtype=bool)
    if len(places):
        for restart in known[:MAX_PASSES]:
            is_between = columns.times_us[places - 1] <= restart.at_us
            is_between &= restart.at_us <= columns.times_us[places]
            is_again |= is_between & (columns.steps[places] >= restart.step)
    return places[is_again]


def _compare(history: _MetricHistory, before: Flags, own: slice, *, is_new_writer: bool) -> None:
    """Hide what a pass supersedes."""
    steps = history.columns.steps
    made = np.unique(steps[own])
    made = made[made != NO_STEP]
    if not len(made):
        return
    there = np.unique(steps[before & ~history.is_hidden & (steps >= made[0])])
    if not len(there):
        return
    there = there[there <= made[-1]]
    num_repeated = len(np.intersect1d(there, made, assume_unique=True))
    if not num_repeated:
        return
    if 2 * num_repeated >= len(there) and (is_new_writer or len(made) > 1):
        _hide_from(history, before, int(made[0]), own.start)
    else:
        history.is_hidden |= before & np.isin(steps, made)


def _hide_from(history: _MetricHistory, before: Flags, step: int, start: int) -> None:
    superseded = before & ~history.is_hidden & (history.columns.steps >= step)
    if superseded.any():
        history.is_hidden |= superseded
        at_us = int(history.columns.times_us[min(start, len(before) - 1)])
        history.restarts.append(Restart(at_us, history.metric, step, start))


def _hide_repeated(history: _MetricHistory, own: slice) -> None:
    """Of each step of one writer, only the last point stays visible."""
    steps = history.columns.steps[own]
    _, from_end = np.unique(steps[::-1], return_index=True)
    is_repeated = steps != NO_STEP
    is_repeated[len(steps) - 1 - from_end] = False
    history.is_hidden[own] |= is_repeated


def _grouped(restarts: list[Restart]) -> list[list[Restart]]:
    """Restarts of several metrics that belong together, in the order of time: a group has each metric once."""
    groups: list[list[Restart]] = []
    metrics: set[str] = set()
    for restart in sorted(restarts):
        if not groups or (restart.metric in metrics and len(groups) < MAX_ATTEMPTS - 2):
            groups.append([])
            metrics = set()
        groups[-1].append(restart)
        metrics.add(restart.metric)
    return groups


def _attempts(history: _MetricHistory, cuts: Ints, place_of: dict[tuple[str, int], int], shift: int) -> Ints:
    """The attempt of each point. `cuts` never falls, so the visible point at step t belongs to the first attempt that
    is cut above t; a hidden one to the attempt in which it was made, if that one is cut at or below t, else to the
    last one that is."""
    steps = history.columns.steps
    num_cut_below = np.searchsorted(cuts, steps, side="right")
    natural = np.ones(len(steps), dtype="<i8")
    for restart in sorted(history.restarts, key=lambda one: one.place):
        natural[restart.place :] = place_of[restart.metric, restart.place] + shift + 2
    hidden = np.minimum(natural, num_cut_below)
    return np.where(history.is_hidden, np.maximum(hidden, 1), num_cut_below + 1)
