"""Nodes in separate network namespaces, connected only by a switch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.jobs.scheduler.gangs.test_several_nodes import STEPS, ended, lose_a_node, loss, shell, submit
from tests.nodes import ExtraNode
from tests.running import Fourwalls, free_port, wait_until

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(420)]

HOSTS = {"b": "10.203.77.1", "c": "10.203.77.2", "d": "10.203.77.3"}
SWITCH = "switch"


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


def namespace(name: str) -> str:
    return f"fourwalls-{os.getpid()}-{name}"


@pytest.fixture(scope="module")
def switch() -> Iterator[None]:
    """Connect each namespace to a bridge in another one. Skips the tests if this user may not create namespaces."""
    if os.getuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    try:
        for name in (SWITCH, *HOSTS):
            ip("netns", "add", namespace(name))
        ip("-n", namespace(SWITCH), "link", "add", "bridge", "type", "bridge")
        ip("-n", namespace(SWITCH), "link", "set", "bridge", "up")
        for name, address in HOSTS.items():
            host, other_end = namespace(name), namespace(SWITCH)
            ip(
                "link",
                "add",
                "cable",
                "netns",
                host,
                "type",
                "veth",
                "peer",
                "name",
                f"to-{name}",
                "netns",
                other_end,
            )
            ip("-n", other_end, "link", "set", f"to-{name}", "master", "bridge", "up")
            ip("-n", host, "addr", "add", f"{address}/24", "dev", "cable")
            ip("-n", host, "link", "set", "cable", "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
    finally:
        for name in (SWITCH, *HOSTS):
            ip("netns", "del", namespace(name), check=False)


@pytest.fixture(scope="module")
def fourwalls(switch: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fourwalls]:
    home = tmp_path_factory.mktemp("hosts")
    environment = {
        "FOURWALLS_CPU_DEVICES": "2", "FOURWALLS_CHECKPOINT_ROOT": str(home / "shared"), "OMP_NUM_THREADS": "1",
        "FOURWALLS_NODE_NAME": "a", "FOURWALLS_POOL": "other", "FOURWALLS_UNREACHABLE_AFTER_S": "8",
        "FOURWALLS_FORK_SERVER": "0",
    }  # fmt: skip
    running = Fourwalls(home, free_port(), environment).start("--no-demo")
    nodes = [
        ExtraNode(
            running, name,
            {"FOURWALLS_NODE_ADDRESS": address, "FOURWALLS_POOL": "default", "FOURWALLS_FORK_SERVER": "1"},
            ("ip", "netns", "exec", namespace(name)),
        )
        for name, address in HOSTS.items()
    ]  # fmt: skip
    try:
        running.wait_for_link()
        for node in nodes:
            node.start()
        wait_until(
            lambda: shell(running, "from jobs.models import Device; print(Device.objects.count())") == 8
        )
        shell(
            running, "from jobs.models import Pool; Pool.objects.update(allows_several_nodes=True); print(1)"
        )
        for node in nodes:
            wait_until((node.folder / "fork.sock").exists, limit_s=180, description="the fork server")
        running.others = {node.name: node for node in nodes}  # type: ignore[attr-defined]
        yield running
    finally:
        running.interrupt()
        for node in nodes:
            node.kill()
        running.kill()


@pytest.fixture(scope="module")
def undisturbed(fourwalls: Fourwalls) -> dict[int, float]:
    found = submit(fourwalls)
    state, step, attempt, reason, attempts = ended(fourwalls, found["job"])
    assert (state, step, attempt) == ("succeeded", STEPS, 1), reason
    assert len(attempts[0][-1]) == 2 and set(attempts[0][-1]) < set(HOSTS), "two hosts"
    return loss(fourwalls, found["run"])


def test_four_ranks_train_over_cables_between_two_hosts(undisturbed):
    assert list(undisturbed) == list(range(1, STEPS + 1))


def test_a_killed_host_costs_only_the_steps_since_the_last_checkpoint(fourwalls: Fourwalls, undisturbed):
    lose_a_node(fourwalls, fourwalls.others, undisturbed)  # type: ignore[attr-defined]
