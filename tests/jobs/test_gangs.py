"""Several nodes for one attempt, their supervisors played by files: all start together, one ends all."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from django.utils import timezone

from engine import procfs
from engine.directory import AttemptDirectory
from engine.spec import SpecError
from jobs import gangs, queue, scheduler
from jobs.agent import launch
from jobs.agent.launch import Launched, LaunchError
from jobs.agent.loop import Agent
from jobs.models import Attempt, Device, Event, Job, Lease, Node, Pool
from jobs.states import AttemptState, JobState, MemberState
from tests.jobs.played import DEAD_PID, checkpoint, report, say, step
from tests.jobs.stage import attempt_of
from tests.jobs.test_races import at_once

pytestmark = pytest.mark.django_db


class Played:
    """Two nodes of two devices each, the agents of both, and the supervisors they started."""

    def __init__(self, nodes: dict[str, Node], folder: Path) -> None:
        self.agents = {name: Agent(node, folder / name) for name, node in nodes.items()}
        for agent in self.agents.values():
            agent.node_dir.mkdir()
        self.started: dict[str, AttemptDirectory] = {}

    def tick(self) -> None:
        for agent in self.agents.values():
            agent.tick()

    def arm(self, *names: str) -> None:
        """The supervisors of these nodes hold their devices."""
        self.tick()
        for name in names or tuple(self.agents):
            report(self.started[name], "armed")
            state = self.started[name].read_state()
            port = 29500 if any(s.rank == 0 for s in self.started[name].read_placement().seats) else 0
            self.started[name].write_state(msgspec.structs.replace(state, master_port=port))
        self.tick()

    def run(self) -> None:
        """Both nodes train."""
        self.arm()
        for directory in self.started.values():
            report(directory, "running")
        self.tick()
        self.tick()

    def restart(self, name: str) -> None:
        """The agent after kill -9: a new one, which knows only the database and the disk."""
        old = self.agents[name]
        self.agents[name] = Agent(Node.objects.get(id=old.node.id), old.node_dir)

    def controls(self) -> dict[str, str]:
        return {name: directory.read_control() for name, directory in self.started.items()}


@pytest.fixture
def played(make_node, settings, tmp_path, monkeypatch) -> Played:
    settings.CHECKPOINT_ROOT = str(tmp_path / "shared")
    settings.NODE_ADDRESS = "10.0.0.7"
    facts = {"checkpoint_root": settings.CHECKPOINT_ROOT}
    nodes = {name: make_node(name, devices=2, facts=facts) for name in ("a", "b")}
    Pool.objects.update(allows_several_nodes=True)
    both = Played(nodes, tmp_path)

    def start(directory, warm_start):
        both.started[directory.path.parents[1].name] = directory
        return Launched(os.getpid(), procfs.stat(os.getpid()).started_ticks)

    monkeypatch.setattr(launch, "start", start)
    return both


@pytest.fixture
def job(played, owner, team, make_spec) -> Job:
    placed = queue.submit(spec=make_spec(devices=4), team=team, owner=owner)
    scheduler.schedule(placed.pool)
    return placed


def states(job: Job) -> tuple[str, str]:
    return Job.objects.get(id=job.id).state, attempt_of(job).state


def parts(job: Job) -> list[str]:
    return list(attempt_of(job).members.order_by("node_id").values_list("state", flat=True))


class TestPlacing:
    def test_a_gang_that_no_node_holds_is_spread_where_the_pool_allows_it(self, job):
        attempt = attempt_of(job)
        assert (attempt.num_nodes, attempt.node_id) == (2, "node-a")
        leases = Lease.objects.order_by("rank").values_list("rank", "device_id")
        assert list(leases) == [(0, "a-0"), (1, "a-1"), (2, "b-0"), (3, "b-1")]
        assert parts(job) == [MemberState.ASSIGNED] * 2

    def test_a_pool_that_does_not_allow_it_refuses_the_job(self, played, owner, team, make_spec):
        Pool.objects.update(allows_several_nodes=False)
        with pytest.raises(SpecError, match="on one node"):
            queue.submit(spec=make_spec(devices=4), team=team, owner=owner)

    def test_nodes_that_share_no_folder_join_no_gang(self, played, owner, team, make_spec):
        Node.objects.filter(id="node-b").update(facts={"checkpoint_root": "/elsewhere"})
        waiting = queue.submit(spec=make_spec(devices=4), team=team, owner=owner)
        assert scheduler.schedule(waiting.pool) == 0

    def test_a_job_that_fits_on_one_node_is_not_spread(self, played, owner, team, make_spec):
        small = queue.submit(spec=make_spec(devices=2), team=team, owner=owner)
        scheduler.schedule(small.pool)
        assert attempt_of(small).num_nodes == 1

    def test_younger_jobs_do_not_take_what_a_waiting_gang_collects(self, played, owner, team, make_spec):
        first = queue.submit(spec=make_spec(devices=1), team=team, owner=owner)
        scheduler.schedule(first.pool)
        gang, young = (queue.submit(spec=make_spec(devices=n), team=team, owner=owner) for n in (4, 1))
        assert scheduler.schedule(first.pool) == 0
        assert (
            Job.objects.get(id=gang.id).waiting_reason == "Needs 4 devices on several nodes; 3 of 4 are free."
        )
        assert Job.objects.get(id=young.id).waiting_reason.startswith("Free devices are kept for job")


class TestStarting:
    def test_no_rank_starts_before_every_node_is_armed(self, played, job):
        played.arm("a")
        assert played.controls() == {"a": "prepare", "b": "prepare"}
        assert states(job) == (JobState.SCHEDULED, AttemptState.ASSIGNED)

    def test_all_start_with_one_rank_map_once_every_node_is_armed(self, played, job):
        played.arm()
        played.tick()
        assert played.controls() == {"a": "run", "b": "run"}
        assert states(job) == (JobState.STARTING, AttemptState.STARTING)
        for name, ranks in (("a", [0, 1]), ("b", [2, 3])):
            placement = played.started[name].read_placement()
            assert (placement.master_addr, placement.master_port) == ("10.0.0.7", 29500)
            assert [(s.rank, s.local_rank) for s in placement.seats] == list(zip(ranks, [0, 1], strict=True))
            assert placement.world_size == 4
            assert placement.has_other_nodes
        assert [seat["rank"] for seat in attempt_of(job).placement["seats"]] == [0, 1, 2, 3]

    def test_a_restarted_agent_goes_on_where_it_was(self, played, job):
        played.arm("a")
        played.restart("a")
        played.restart("b")
        report(played.started["b"], "armed")
        for _ in range(3):
            played.tick()
        assert played.controls() == {"a": "run", "b": "run"}

    def test_checkpoints_of_all_nodes_go_to_one_folder(self, played, job, settings):
        played.tick()
        folders = {directory.checkpoints.resolve() for directory in played.started.values()}
        assert folders == {Path(settings.CHECKPOINT_ROOT) / f"{job.id}-1"}

    def test_a_node_that_never_answers_breaks_the_gang_up_and_costs_no_retry(self, played, job):
        agent_b = played.agents.pop("b")
        played.arm("a")
        Attempt.objects.update(assigned_at=timezone.now() - timedelta(seconds=61))
        gangs.look_after_all()
        played.tick()
        assert played.controls() == {"a": "abort"}
        report(played.started["a"], "stopped", "the gang was broken up, before the ranks were started")
        played.tick()
        assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)
        assert "node b was not ready within 60 s" in Job.objects.get().waiting_reason
        assert not Lease.objects.filter(is_active=True).exists()
        agent_b.tick()
        assert "b" not in played.started, "an agent that wakes up late starts nothing"

    def test_a_node_that_cannot_hold_its_devices_breaks_the_gang_up_at_once(self, played, job):
        played.arm("a")
        report(played.started["b"], "failed", "device b-0 is still held")
        played.tick()
        played.tick()
        assert played.controls()["a"] == "abort"
        report(played.started["a"], "stopped", "the gang was broken up")
        played.tick()
        assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)
        assert "node b: device b-0 is still held" in Job.objects.get().waiting_reason

    def test_a_job_whose_gang_never_comes_together_fails_in_the_end(self, played, job, monkeypatch):
        def refuse(*_):
            raise LaunchError("No memory.")

        monkeypatch.setattr(launch, "start", refuse)
        for _ in range(gangs.PREPARE_FAILURES):
            assert states(job)[0] == JobState.SCHEDULED
            played.tick()
            gangs.look_after_all()
            scheduler.schedule(job.pool)
        assert states(job)[0] == JobState.FAILED
        assert "No memory. (5 times in a row)" in Job.objects.get().reason

    def test_a_device_that_is_still_held_is_waited_for_however_often_the_gang_meets_it(self, played, job):
        for _ in range(2 * gangs.PREPARE_FAILURES):
            assert states(job)[0] == JobState.SCHEDULED
            played.arm("a")
            report(played.started["b"], "failed", "device b-0 is still held", cause="device_held")
            played.tick()
            report(played.started["a"], "stopped", "the gang was broken up")
            played.tick()
            assert states(job)[0] == JobState.QUEUED
            scheduler.schedule(job.pool)

    def test_a_cancelled_gang_is_let_go(self, played, job):
        played.arm("a")
        queue.cancel(job, actor="tom")
        played.tick()
        assert played.controls() == {"a": "abort", "b": "abort"}
        for directory in played.started.values():
            report(directory, "stopped", "the gang was broken up")
        played.tick()
        assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
        assert parts(job) == [MemberState.STOPPED] * 2


class TestEnding:
    def test_the_attempt_succeeds_when_the_last_node_has(self, played, job):
        played.run()
        assert states(job) == (JobState.STARTING, AttemptState.RUNNING)
        report(played.started["a"], "succeeded", "All 200 steps were done.")
        played.tick()
        assert states(job)[1] == AttemptState.RUNNING
        report(played.started["b"], "succeeded", "All 200 steps were done.")
        played.tick()
        assert states(job) == (JobState.SUCCEEDED, AttemptState.SUCCEEDED)
        assert not Lease.objects.filter(is_active=True).exists()

    def test_a_node_that_fails_stops_the_others_and_is_the_one_to_blame(self, played, job):
        played.run()
        report(played.started["b"], "failed", "rank 2 was killed by SIGKILL", stderr_tail=("boom",))
        state = played.started["a"].read_state()
        played.started["a"].write_state(
            msgspec.structs.replace(
                state, state="failed", reason="rank 0: connection closed", is_witness=True
            )
        )
        played.tick()
        assert states(job) == (JobState.FAILED, AttemptState.FAILED)
        assert Job.objects.get().reason == "rank 2 was killed by SIGKILL (node b)"
        assert attempt_of(job).stderr_tail == "boom"

    def test_within_a_tick_of_a_failure_every_other_node_is_told(self, played, job):
        played.run()
        report(played.started["b"], "failed", "rank 2 was killed by SIGKILL")
        played.agents["b"].tick()
        played.agents["a"].tick()
        assert played.controls()["a"] == "abort"

    def test_a_node_that_falls_silent_after_its_peers_failed_is_lost_and_costs_no_retry(self, played, job):
        played.run()
        say(played.started["a"], step(7), checkpoint(played.started["a"], 5))
        silent = played.agents.pop("b")
        state = played.started["a"].read_state()
        played.started["a"].write_state(
            msgspec.structs.replace(
                state, state="failed", reason="rank 0: connection closed", is_witness=True
            )
        )
        played.tick()
        gangs.look_after_all()
        assert states(job)[1] == AttemptState.RUNNING, "its node may only be slow to report"
        Node.objects.filter(id=silent.node.id).update(heartbeat_at=timezone.now() - timedelta(seconds=46))
        gangs.look_after_all()
        assert states(job) == (JobState.QUEUED, AttemptState.LOST)
        assert "resumes from step 5" in Job.objects.get().waiting_reason
        assert parts(job) == [MemberState.FAILED, MemberState.LOST]

    def test_a_short_silence_of_one_agent_stops_nobody(self, played, job):
        played.run()
        Node.objects.filter(id="node-b").update(heartbeat_at=timezone.now() - timedelta(seconds=300))
        gangs.look_after_all()
        played.agents["a"].tick()
        assert played.controls() == {"a": "run", "b": "run"}

    def test_a_node_silent_for_long_is_given_up_and_told_to_stop_when_it_comes_back(self, played, job):
        played.run()
        Node.objects.filter(id="node-b").update(heartbeat_at=timezone.now() - timedelta(seconds=601))
        gangs.look_after_all()
        played.agents["a"].tick()
        assert played.controls()["a"] == "abort"
        report(played.started["a"], "stopped", "the gang was broken up")
        played.agents["a"].tick()
        assert states(job) == (JobState.QUEUED, AttemptState.LOST)
        played.restart("b")
        played.agents["b"].tick()
        assert played.controls()["b"] == "stop"

    def test_a_dead_supervisor_on_one_node_ends_the_gang(self, played, job):
        played.run()
        report(played.started["b"], "running", pid=DEAD_PID)
        played.agents["b"].tick()
        played.agents["a"].tick()
        assert played.controls()["a"] == "abort"

    def test_a_cancel_reaches_every_node(self, played, job):
        played.run()
        queue.cancel(job, actor="tom", reason="Enough.")
        played.tick()
        assert played.controls() == {"a": "stop", "b": "stop"}
        for directory in played.started.values():
            report(directory, "stopped", "stopped on request")
        played.tick()
        assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
        assert Job.objects.get().reason == "Enough."

    def test_a_node_that_leaves_gives_the_whole_job_back_to_the_queue(self, played, job):
        played.run()
        played.agents["b"].why_stopping = "Interrupted by shutdown"
        played.agents["b"].tick()
        assert played.controls() == {"a": "run", "b": "stop"}, "the ranks agree at a step border"
        for directory in played.started.values():
            report(directory, "stopped", "Stopped on request after step 7 of 200.")
        played.agents["b"].tick()
        played.agents["a"].tick()
        assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)


def test_what_every_node_spools_arrives_once_under_its_own_name(played, job):
    played.run()
    for name, directory in played.started.items():
        rank = 0 if name == "a" else 2
        say(directory, step(1) if name == "a" else b"", file=f"rank{rank}.jsonl")
        say(
            directory,
            b'{"k":"note","at":1.0,"source":"run","text":"of %s"}\n' % name.encode(),
            file="supervisor.jsonl",
        )
    played.tick()
    played.tick()
    notes = job.events.filter(kind="note.info").values_list("text", flat=True)
    assert sorted(notes) == ["of a", "of b"]
    assert Job.objects.get().step == 1


def test_the_next_attempt_resumes_from_the_shared_checkpoint_on_other_nodes(
    played, job, make_node, settings, tmp_path
):
    played.run()
    say(played.started["a"], checkpoint(played.started["a"], 20))
    played.tick()
    for directory in played.started.values():
        report(directory, "stopped", "the agent went silent")
    played.tick()
    assert states(job)[0] == JobState.QUEUED
    Device.objects.filter(node_id="node-a").update(is_present=False)
    facts = {"checkpoint_root": settings.CHECKPOINT_ROOT}
    played.agents["c"] = Agent(make_node("c", devices=2, facts=facts), tmp_path / "c")
    played.agents["c"].node_dir.mkdir()
    del played.started["a"]
    scheduler.schedule(job.pool)
    played.arm("b", "c")
    played.tick()
    expected = Path(settings.CHECKPOINT_ROOT) / f"{job.id}-1" / "step-00000020"
    assert played.started["c"].read_placement().resume_from == str(expected)
    assert attempt_of(job).resumed_from == str(expected)


@pytest.mark.django_db(transaction=True)
class TestRaces:
    """Agents of two nodes, the scheduler and people at the same moment."""

    def count(self, job: Job, kind: str) -> int:
        return Event.objects.filter(job=job, kind=kind).count()

    def test_nodes_that_end_at_once_end_the_attempt_once(self, played, job):
        played.run()
        for directory in played.started.values():
            report(directory, "succeeded", "done")
        at_once(*(agent.tick for agent in played.agents.values()))
        played.tick()
        assert states(job) == (JobState.SUCCEEDED, AttemptState.SUCCEEDED)
        assert parts(job) == [MemberState.SUCCEEDED] * 2
        ends = ("attempt.succeeded", "job.succeeded", "member.succeeded")
        assert [self.count(job, kind) for kind in ends] == [1, 1, 2]
        assert not Lease.objects.filter(is_active=True).exists()

    def test_nodes_that_fail_at_once_are_blamed_once(self, played, job):
        played.run()
        for directory in played.started.values():
            report(directory, "failed", "rank 0 ended with exit code 1", cause="workload")
        at_once(*(agent.tick for agent in played.agents.values()), gangs.look_after_all)
        played.tick()
        assert attempt_of(job).state == AttemptState.FAILED
        assert self.count(job, "attempt.failed") == 1 and self.count(job, "note.warning") == 1

    def test_a_break_up_and_the_start_cannot_both_win(self, played, job):
        played.tick()
        attempt = attempt_of(job)
        attempt.members.update(state=MemberState.ARMED)
        only_from = (AttemptState.ASSIGNED,)
        won = at_once(
            lambda: gangs.commit(attempt, {}, {}),
            lambda: gangs.break_up(attempt, "too late", "scheduler", only_from=only_from),
        )
        assert sorted(won) == [False, True]
        attempt.refresh_from_db()
        assert (attempt.state == AttemptState.STARTING) is won[0]
        assert bool(attempt.broken_because) is won[1]

    def test_a_cancel_and_the_start_of_a_gang_end_in_one_cancelled_job(self, played, job):
        played.arm("a")
        report(played.started["b"], "armed")
        at_once(*(agent.tick for agent in played.agents.values()), lambda: queue.cancel(job, actor="olga"))
        played.tick()
        assert set(played.controls().values()) in ({"stop"}, {"abort"}), "both nodes are told, and the same"
        for directory in played.started.values():
            report(directory, "stopped", "stopped on request")
        at_once(*(agent.tick for agent in played.agents.values()))
        played.tick()
        assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
        assert self.count(job, "job.cancelled") == self.count(job, "attempt.stopped") == 1
        assert not Lease.objects.filter(is_active=True).exists()
