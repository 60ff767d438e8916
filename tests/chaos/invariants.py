"""Invariants after the faults, checked from outside.

The sources are the journal of the ranks, the job records and the process table.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

JournalLine = dict[str, Any]
TERMINAL = ("succeeded", "stopped", "failed", "lost")


def read_journal(folder: Path) -> dict[str, list[JournalLine]]:
    """Device -> lines of its ranks, in the order of writing."""
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in folder.glob("*.jsonl")
    }


def assert_no_device_was_shared(journal: dict[str, list[JournalLine]]) -> int:
    """Check device use twice and return the number of processes seen.

    No rank found its device's lock taken, and the times between the first and the last journal line of each
    process on a device do not overlap.
    """
    num_spans = 0
    for device, lines in journal.items():
        overlaps = [line for line in lines if line["what"] == "overlap"]
        assert not overlaps, f"{device} was in use by two attempts: {overlaps}"
        times: dict[tuple[str, int, int], list[float]] = defaultdict(list)
        for line in lines:
            times[line["job"], line["attempt"], line["pid"]].append(line["t"])
        spans = sorted((min(seen), max(seen), whose) for whose, seen in times.items())
        for (_, end, first), (begin, _, second) in pairwise(spans):
            assert end <= begin, f"{device}: {second} started {end - begin:.3f} s before {first} ended"
        num_spans += len(spans)
    return num_spans


def assert_every_success_reached_the_end(
    records: dict[str, Any], journal: dict[str, list[JournalLine]]
) -> None:
    """All ranks of the last attempt of a successful job reached the end, each on its own device."""
    finished = {
        (line["job"], line["attempt"], line["rank"]): device
        for device, lines in journal.items()
        for line in lines
        if line["what"] == "end"
    }
    sizes = {job["id"]: job["num_devices"] for job in records["jobs"]}
    for attempt in records["attempts"]:
        if attempt["state"] == "succeeded":
            gang = [
                finished.get((attempt["job_id"], attempt["number"], r))
                for r in range(sizes[attempt["job_id"]])
            ]
            assert None not in gang and len(set(gang)) == len(gang), f"{attempt}: {gang}"


def assert_each_ended_once(records: dict[str, Any], acknowledged: set[str]) -> None:
    known = {job["id"] for job in records["jobs"]}
    assert acknowledged <= known, f"lost: {acknowledged - known}"
    unfinished = [job for job in records["jobs"] if job["state"] not in ("succeeded", "cancelled")]
    assert not unfinished, f"{len(unfinished)} jobs did not end well: {unfinished[:5]}"
    job_ends = Counter(event["job_id"] for event in records["job_ends"])
    assert job_ends == dict.fromkeys(known, 1), f"not one end each: {job_ends.most_common(3)}"
    attempts = {(attempt["job_id"], attempt["number"]): attempt["state"] for attempt in records["attempts"]}
    assert set(attempts.values()) <= set(TERMINAL), "an attempt is still live"
    attempt_ends = Counter((event["job_id"], event["attempt_number"]) for event in records["attempt_ends"])
    assert attempt_ends == dict.fromkeys(attempts, 1), f"not one end each: {attempt_ends.most_common(3)}"
    assert {member["state"] for member in records["members"]} <= set(TERMINAL), "a node's part is still live"
    parts = Counter((member["attempt__job_id"], member["attempt__number"]) for member in records["members"])
    part_ends = Counter((event["job_id"], event["attempt_number"]) for event in records["member_ends"])
    assert part_ends == parts, f"not one end for each node's part: {part_ends - parts} {parts - part_ends}"
    successes = Counter(job for (job, _), state in attempts.items() if state == "succeeded")
    done = {job["id"] for job in records["jobs"] if job["state"] == "succeeded"}
    assert successes == dict.fromkeys(done, 1), "a job succeeded twice, or without an attempt"
    assert not records["active_leases"], "active_leases"
