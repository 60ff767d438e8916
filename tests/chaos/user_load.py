"""User thread that submits, pauses, resumes and cancels jobs through the API."""

from __future__ import annotations

import random
import threading
from typing import Any

from tests.chaos.cluster import Cluster

GANGS = (1, 1, 2, 2, 4)
PRIORITIES = ("low", "low", "normal", "normal", "normal", "high")
CANCEL_SHARE, PAUSE_SHARE = 0.1, 0.15
TINY = {"layers": 2, "width": 32, "heads": 2, "ffn_width": 64, "context": 32}


def spec(name: str, devices: int, steps: int, priority: str = "normal") -> dict[str, Any]:
    return {
        "name": name,
        "priority": priority,
        "model": TINY,
        "data": {"tokenizer": "bytes"},
        "parallel": {"data": devices},
        "batch": {"global_batch_size": 8 * devices, "micro_batch_size": 4},
        "budget": {"steps": steps, "validate_every": 0, "checkpoint_every": 4},
        "optimiser": {"warmup_steps": 0},
    }


class UserLoad(threading.Thread):
    """Keeps `waiting` jobs in the queue.

    It waits for every response; a missing response leaves the state of the job unknown.
    """

    def __init__(self, cluster: Cluster, rng: random.Random, waiting: int) -> None:
        super().__init__(daemon=True)
        self.cluster, self.rng, self.waiting = cluster, rng, waiting
        self.submitted: set[str] = set()
        self.num_pauses = 0
        self.stop_requested = threading.Event()

    def run(self) -> None:
        while not self.stop_requested.wait(0.3):
            self._pause_and_resume()
            waiting = self.jobs("queued")
            if waiting is None or len(waiting) >= self.waiting:
                continue
            job = self.submit()
            if job and self.rng.random() < CANCEL_SHARE:
                self.cluster.post(f"/jobs/{job}/cancel")

    def _pause_and_resume(self) -> None:
        if self.rng.random() < PAUSE_SHARE and (running := self.jobs("running")):
            self.num_pauses += self.cluster.post(f"/jobs/{self.rng.choice(running)['id']}/pause") is not None
        if self.rng.random() < PAUSE_SHARE:
            self.resume_all()

    def resume_all(self) -> None:
        for job in self.jobs("paused") or ():
            self.cluster.post(f"/jobs/{job['id']}/resume")

    def submit(self) -> str | None:
        name = f"chaos {len(self.submitted)}"
        body = spec(
            name,
            self.rng.choice(GANGS),
            steps=self.rng.randint(2, 24),
            priority=self.rng.choice(PRIORITIES),
        )
        job = self.cluster.post("/jobs", body)
        if job is None:
            return None  # the job may be in the queue; then it has to end as well
        self.submitted.add(job["id"])
        return job["id"]

    def jobs(self, state: str = "") -> list[dict[str, Any]] | None:
        answer = self.cluster.get(f"/jobs?limit=500&state={state}")
        return answer and answer["items"]

    def is_done(self) -> bool:
        self.resume_all()
        jobs = self.jobs()
        return jobs is not None and all(job["ended_at"] for job in jobs)
