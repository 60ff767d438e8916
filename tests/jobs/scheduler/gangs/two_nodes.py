"""Two nodes for one attempt, with real agents and fake supervisors."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.directory import AttemptDirectory
from engine.directory import AttemptState as State
from jobs.agent.loop import Agent
from jobs.models import Job, Node
from tests.jobs.fake_supervisor import write_state
from tests.jobs.placed_jobs import newest_attempt


class TwoNodes:
    """Two nodes of two devices each, the agents of both, and the supervisors they started."""

    def __init__(self, nodes: dict[str, Node], folder: Path) -> None:
        self.agents = {name: Agent(node, folder / name) for name, node in nodes.items()}
        for agent in self.agents.values():
            agent.node_dir.mkdir()
        self.started: dict[str, AttemptDirectory] = {}

    def tick(self) -> None:
        for agent in self.agents.values():
            agent.tick()

    def prepare(self, *names: str) -> None:
        """Let the supervisors of these nodes hold their devices."""
        self.tick()
        for name in names or tuple(self.agents):
            write_state(self.started[name], "armed")
            state = self.started[name].read_state()
            port = 29500 if any(s.rank == 0 for s in self.started[name].read_placement().seats) else 0
            self.started[name].write_state(msgspec.structs.replace(state, master_port=port))
        self.tick()

    def run(self) -> None:
        """Let both nodes train."""
        self.prepare()
        for directory in self.started.values():
            write_state(directory, "running")
        self.tick()
        self.tick()

    def all_report(self, state: State, reason: str) -> None:
        for directory in self.started.values():
            write_state(directory, state, reason)

    def lose_peers(self, name: str) -> None:
        """Let the ranks of a node fail because ranks on the other one failed."""
        state = self.started[name].read_state()
        self.started[name].write_state(
            msgspec.structs.replace(
                state, state="failed", reason="rank 0: connection closed", is_secondary_failure=True
            )
        )

    def restart(self, name: str) -> None:
        """Replace an agent, as after kill -9, by a new one with only the database and the disk."""
        old = self.agents[name]
        self.agents[name] = Agent(Node.objects.get(id=old.node.id), old.node_dir)

    def controls(self) -> dict[str, str]:
        return {name: directory.read_control() for name, directory in self.started.items()}


def node_states(job: Job) -> list[str]:
    return list(newest_attempt(job).attempt_nodes.order_by("node_id").values_list("state", flat=True))
