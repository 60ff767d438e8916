"""Jobs that continue on another node without a shared folder, interrupted at random in every way.

Two real agents with a folder each. What was said beforehand is compared with what happened, and the whole curve with
that of an uninterrupted run.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.user_load import spec
from tests.jobs.agent.curve_rank import FIRST, loss_of, next_state
from tests.running import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRIES, SEED = int(os.environ.get("CONTINUATION_TRIES", "20")), 20261130
POLICIES = ("drain", "drain", "preempt", "crash", "kill", "move")
STATE = """
import json
from jobs import series
from jobs.models import Job
job = Job.objects.get(id={job!r})
(found,) = series.read([job.run.id], ["loss"], points=100000) if job.step else (None,)
print(json.dumps({{
    "state": job.state, "step": job.step, "code": job.waiting_for.get("code", ""), "why": job.waiting_reason,
    "attempts": [[a.number, a.node.name, a.state, a.resumed_from, a.reason] for a in job.attempts.order_by("number")],
    "events": [[e.kind, e.text] for e in job.events.order_by("id")],
    "x": found.x.tolist() if found else [], "loss": found.mean.tolist() if found else [],
}}))
"""


class TwoFolders(Cluster):
    """Two nodes of one device each, which share no folder."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "FOURWALLS_CHECKPOINT_ROOT": "", "FOURWALLS_PROBE_AFTER_IDLE_S": "0"}

    def _write_trainer(self) -> None:
        super()._write_trainer()
        trainer = self.home / "trainer"
        rank = Path(__file__).with_name("curve_rank.py")
        trainer.write_text(re.sub(r"\S*fake_rank\.py", f'"{rank}"', trainer.read_text().replace('"', "")))

    def ask(self, job: str) -> dict[str, Any]:
        done = self.manage("shell", "-v0", "-c", STATE.format(job=job))
        return json.loads(done.stdout.splitlines()[-1])

    def job(self, job: str) -> dict[str, Any]:
        return self.get(f"/jobs/{job}") or {}

    def kill_node(self, name: str) -> None:
        """Kill everything on a node at once, as in a power failure."""
        for pid in [*self.pids_on(name), self.agent_of(name)]:
            if pid:
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.agent_of(name) and not self.pids_on(name), description=f"{name} is dead")

    def start_node(self, name: str) -> None:
        self.groups[name].watch()
        wait_until(lambda: self.groups[name].watch() or self.agent_of(name), description=f"agent of {name}")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[TwoFolders]:
    cluster = TwoFolders(tmp_path, nodes={"a": 1, "b": 1})
    try:
        yield cluster.start()
    finally:
        cluster.kill()


class Interrupter:
    """Interrupts one job again and again, and records what was said and what happened."""

    def __init__(self, cluster: TwoFolders, job: str, rng: random.Random) -> None:
        self.cluster, self.job, self.rng = cluster, job, rng
        self.results: list[tuple[str, str]] = []  # policy, what did not agree

    def interrupt(self, policy: str) -> None:
        try:
            self._interrupt(policy)
        except AssertionError as error:
            now = {
                name: value for name, value in self.cluster.ask(self.job).items() if name not in ("x", "loss")
            }
            raise AssertionError(
                f"{policy}: {error}\n{json.dumps(now, indent=1)}{self.cluster.logs()}"
            ) from error

    def _interrupt(self, policy: str) -> None:
        before = self.wait_for_steps(self.rng.randint(3, 14))
        number, here = before["attempts"][-1][0], before["attempts"][-1][1]
        there = "b" if here == "a" else "a"
        plan = getattr(self, policy)(here, there)
        wait_until(
            lambda: (self.cluster.job(self.job) or {}).get("attempt", 0) > number,
            limit_s=90,
            description=policy,
        )
        after = wait_until(
            lambda: (now := self.cluster.ask(self.job))["attempts"][number][2] == "running" and now,
            limit_s=60, description=f"the attempt after {policy}",
        )  # fmt: skip
        self.compare(policy, before, after, number, plan)

    def wait_for_steps(self, steps: int) -> dict[str, Any]:
        """Wait until the newest attempt has made some steps."""
        now = wait_until(
            lambda: (n := self.cluster.job(self.job)).get("state") == "running" and n, limit_s=60
        )
        first = now["step"]
        wait_until(lambda: self.cluster.job(self.job).get("step", 0) >= first + steps, limit_s=60)
        return self.cluster.ask(self.job)

    def drain(self, here: str, there: str) -> str:
        options = ("--policy=checkpoint", "--reason=test")
        said = self.cluster.manage("node", "drain", here, *options).stdout
        wait_until(
            lambda: self.cluster.job(self.job)["state"] in ("queued", "scheduled", "starting", "running")
        )
        (plan,) = [line for line in said.splitlines() if line.startswith(f"Job {self.job}")]
        wait_until(lambda: self.is_on(there), limit_s=60, description="moved by drain")
        self.cluster.manage("node", "uncordon", here)
        return plan

    def is_on(self, node: str) -> bool:
        attempt = self.cluster.ask(self.job)["attempts"][-1]
        return attempt[1] == node and attempt[2] == "running"

    def preempt(self, here: str, there: str) -> str:
        """Fill the other node and this one with jobs of high priority, then free the other one."""
        first = self.cluster.post("/jobs", spec("filler", 1, 100_000, "high"))["id"]
        wait_until(lambda: self.cluster.job(first).get("state") == "running", limit_s=60)
        second = self.cluster.post("/jobs", spec("winner", 1, 100_000, "high"))["id"]
        wait_until(
            lambda: self.cluster.job(self.job)["state"] == "queued", limit_s=60, description="preempted"
        )
        self.cluster.post(f"/jobs/{first}/cancel")
        wait_until(lambda: self.is_on(there), limit_s=60, description="moved by preemption")
        self.cluster.post(f"/jobs/{second}/cancel")
        wait_until(lambda: self.cluster.job(second)["state"] == "cancelled", limit_s=60)
        return ""

    def crash(self, here: str, there: str) -> str:
        """Kill the node, which comes back before its attempts count as lost."""
        self.cluster.kill_node(here)
        return self._come_back(here)

    def kill(self, here: str, there: str) -> str:
        self.cluster.kill_node(here)
        wait_until(lambda: self.cluster.job(self.job)["state"] == "queued", limit_s=60, description="lost")
        wait_until(
            lambda: self.cluster.ask(self.job)["code"] == "CHECKPOINT_AWAY",
            limit_s=30,
            description="it waits",
        )
        time.sleep(self.rng.uniform(0.0, 2.0))
        assert self.cluster.job(self.job)["state"] == "queued", "nothing restarts by itself"
        return self._come_back(here)

    def _come_back(self, here: str) -> str:
        self.cluster.start_node(here)
        return ""

    def move(self, here: str, there: str) -> str:
        """Pause the job, close its node, and resume it: it continues on the other one."""
        self.cluster.post(f"/jobs/{self.job}/pause")
        wait_until(lambda: self.cluster.job(self.job)["state"] == "paused", limit_s=60)
        self.cluster.manage("node", "cordon", here, "--reason=test")
        self.cluster.post(f"/jobs/{self.job}/resume")
        wait_until(lambda: self.is_on(there), limit_s=60, description="moved by cordon")
        self.cluster.manage("node", "uncordon", here)
        return ""

    def compare(self, policy: str, before: dict, after: dict, number: int, plan: str) -> None:
        """Compare what was said with the next attempt."""
        _, node, _, resumed_from, _ = after["attempts"][number]
        resumed = int(resumed_from.rpartition("-")[2]) if resumed_from else 0
        texts = [text for _, text in after["events"][len(before["events"]) :]]
        promises = [int(step) for text in texts for step in re.findall(r"resumes from step (\d+)\.", text)]
        promises += [
            int(step) for text in texts for step in re.findall(r"at step (\d+) found on the disk", text)
        ]
        wrong = []
        if policy != "move" and promises[-1:] != [resumed]:
            wrong.append(f"said {promises}, resumed from {resumed}")
        if not resumed_from:
            wrong.append("started from step 0")
        if plan:
            wrong += self.compare_plan(plan, after, node, resumed, number)
        self.results.append((policy, "; ".join(wrong)))

    def compare_plan(self, plan: str, after: dict, node: str, resumed: int, number: int) -> list[str]:
        found = re.search(
            r"continues on (\w+) from the step where it stops, (\d+) or later; (\d+) steps lost", plan
        )
        if not found:
            return [f"no plan: {plan}"]
        wrong = [f"said node {found[1]}, went to {node}"] if found[1] != node else []
        if resumed < int(found[2]):
            wrong.append(f"said step {found[2]} or later, resumed from {resumed}")
        made = max(step for step in after["x"] if step is not None)
        if int(found[3]) != 0 or made < resumed:
            wrong.append(f"said {found[3]} steps lost")
        wrong += self.compare_bytes(plan, after, node, resumed)
        return wrong

    def compare_bytes(self, plan: str, after: dict, node: str, resumed: int) -> list[str]:
        """Compare the bytes; the manifest may be a digit longer than that of the checkpoint before."""
        said = re.search(r"about ([\d,]+) bytes travel", plan)
        copied = [
            int(size.replace(",", ""))
            for _, text in after["events"]
            for step, to, size in re.findall(
                r"at step (\d+) copied from node \w+ to node (\w+): ([\d,]+) bytes", text
            )
            if (int(step), to) == (resumed, node)
        ]
        if not said or not copied or abs(int(said[1].replace(",", "")) - copied[-1]) > 2:
            return [f"said {said and said[1]} bytes, copied {copied}"]
        return []


def test_what_was_said_happens_and_the_curve_goes_on_bit_equal(cluster: TwoFolders):
    rng = random.Random(SEED)
    job = cluster.post("/jobs", spec("curve", 1, 100_000, "low"))["id"]
    interrupter = Interrupter(cluster, job, rng)
    policies = [*POLICIES, *rng.choices(POLICIES, k=max(0, TRIES - len(POLICIES)))]
    rng.shuffle(policies)
    del policies[TRIES:]
    for policy in policies:
        interrupter.interrupt(policy)
    cluster.post(f"/jobs/{job}/cancel")
    wait_until(lambda: cluster.job(job)["state"] == "cancelled", limit_s=60)
    last = cluster.ask(job)
    cluster.stop()
    assert interrupter.results == [(policy, "") for policy in policies]
    assert len(interrupter.results) == TRIES
    curve, state = dict(zip(last["x"], last["loss"], strict=True)), FIRST
    assert sorted(curve) == list(range(1, len(curve) + 1)), "no step is missing"
    for step in range(1, len(curve) + 1):
        state = next_state(state, step)
        assert curve[step] == loss_of(state), f"step {step} differs"
    assert {node for _, node, *_ in last["attempts"]} == {"a", "b"}
