"""What must hold after a storm, judged from outside: the ranks' own journal, the ledger, the process table."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

Line = dict[str, Any]
TERMINAL = ("succeeded", "stopped", "failed", "lost")


def read_journal(folder: Path) -> dict[str, list[Line]]:
    """device -> what its ranks wrote, in the order in which they wrote it."""
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in folder.glob("*.jsonl")
    }


def assert_no_device_was_shared(journal: dict[str, list[Line]]) -> int:
    """Twice over: no rank found the device's witness lock taken, and the spans between the first and the last word of
    every process on a device do not overlap. Returns the number of spans."""
    num_spans = 0
    for device, lines in journal.items():
        overlaps = [line for line in lines if line["what"] == "overlap"]
        assert not overlaps, f"{device} was in use by two attempts: {overlaps}"
        times: dict[tuple[str, int, int], list[float]] = defaultdict(list)
        for line in lines:
            times[line["job"], line["attempt"], line["pid"]].append(line["t"])
        spans = sorted((min(seen), max(seen), whose) for whose, seen in times.items())
        for (_, end, first), (begin, _, second) in pairwise(spans):
            assert end <= begin, f"{device}: {second} began {end - begin:.3f} s before {first} was silent"
        num_spans += len(spans)
    return num_spans


def assert_every_success_was_worked_for(ledger: dict[str, Any], journal: dict[str, list[Line]]) -> None:
    """The ranks of the last attempt of a job that succeeded all reached the end, each on a device of its own."""
    finished = {
        (line["job"], line["attempt"], line["rank"]): device
        for device, lines in journal.items()
        for line in lines
        if line["what"] == "end"
    }
    sizes = {job["id"]: job["num_devices"] for job in ledger["jobs"]}
    for attempt in ledger["attempts"]:
        if attempt["state"] == "succeeded":
            gang = [
                finished.get((attempt["job_id"], attempt["number"], r))
                for r in range(sizes[attempt["job_id"]])
            ]
            assert None not in gang and len(set(gang)) == len(gang), f"{attempt}: {gang}"


def assert_each_ended_once(ledger: dict[str, Any], acknowledged: set[str]) -> None:
    known = {job["id"] for job in ledger["jobs"]}
    assert acknowledged <= known, f"lost: {acknowledged - known}"
    unfinished = [job for job in ledger["jobs"] if job["state"] not in ("succeeded", "cancelled")]
    assert not unfinished, f"{len(unfinished)} jobs did not end well: {unfinished[:5]}"
    job_ends = Counter(event["job_id"] for event in ledger["job_ends"])
    assert job_ends == dict.fromkeys(known, 1), f"not one end each: {job_ends.most_common(3)}"
    attempts = {(attempt["job_id"], attempt["number"]): attempt["state"] for attempt in ledger["attempts"]}
    assert set(attempts.values()) <= set(TERMINAL), "an attempt lives on"
    attempt_ends = Counter((event["job_id"], event["attempt_number"]) for event in ledger["attempt_ends"])
    assert attempt_ends == dict.fromkeys(attempts, 1), f"not one end each: {attempt_ends.most_common(3)}"
    assert {member["state"] for member in ledger["members"]} <= set(TERMINAL), "a node's part lives on"
    parts = Counter((member["attempt__job_id"], member["attempt__number"]) for member in ledger["members"])
    part_ends = Counter((event["job_id"], event["attempt_number"]) for event in ledger["member_ends"])
    assert part_ends == parts, f"not one end for each node's part: {part_ends - parts} {parts - part_ends}"
    successes = Counter(job for (job, _), state in attempts.items() if state == "succeeded")
    done = {job["id"] for job in ledger["jobs"] if job["state"] == "succeeded"}
    assert successes == dict.fromkeys(done, 1), "a job succeeded twice, or without an attempt"
    assert not ledger["active_leases"], "active_leases"
