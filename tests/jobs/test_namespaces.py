"""Two nodes in network namespaces of their own, as separate hosts: no loopback in common, only a cable between them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.jobs.test_several_nodes import STEPS, ended, loss, shell, submit
from tests.nodes import NodeOf
from tests.running import Headroom, free_port, wait_until

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(300)]

HOSTS = {"b": "10.203.77.1", "c": "10.203.77.2"}


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


def namespace(name: str) -> str:
    return f"headroom-{os.getpid()}-{name}"


@pytest.fixture(scope="module")
def cable() -> Iterator[None]:
    """A pair of interfaces, one in each namespace. Skips where this user may not make them."""
    if os.getuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    try:
        for name in HOSTS:
            ip("netns", "add", namespace(name))
        b, c = (namespace(name) for name in HOSTS)
        ip("link", "add", "cable-b", "netns", b, "type", "veth", "peer", "name", "cable-c", "netns", c)
        for name, address in HOSTS.items():
            ip("-n", namespace(name), "addr", "add", f"{address}/24", "dev", f"cable-{name}")
            ip("-n", namespace(name), "link", "set", f"cable-{name}", "up")
            ip("-n", namespace(name), "link", "set", "lo", "up")
        yield
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
    finally:
        for name in HOSTS:
            ip("netns", "del", namespace(name), check=False)


@pytest.fixture(scope="module")
def headroom(cable: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headroom]:
    home = tmp_path_factory.mktemp("hosts")
    environment = {
        "HEADROOM_CPU_DEVICES": "2", "HEADROOM_CHECKPOINT_ROOT": str(home / "shared"), "OMP_NUM_THREADS": "1",
        "HEADROOM_NODE_NAME": "a", "HEADROOM_POOL": "other",
    }  # fmt: skip
    running = Headroom(home, free_port(), environment).start("--no-demo")
    nodes = [
        NodeOf(
            running, name, {"HEADROOM_NODE_ADDRESS": address, "HEADROOM_POOL": "default"},
            ("ip", "netns", "exec", namespace(name)),
        )
        for name, address in HOSTS.items()
    ]  # fmt: skip
    try:
        running.wait_for_link()
        for node in nodes:
            node.start()
        wait_until(
            lambda: shell(running, "from jobs.models import Device; print(Device.objects.count())") == 6
        )
        shell(
            running, "from jobs.models import Pool; Pool.objects.update(allows_several_nodes=True); print(1)"
        )
        for node in nodes:
            wait_until((node.folder / "warm.sock").exists, limit_s=90, said="the warm parent")
        yield running
    finally:
        running.interrupt()
        for node in nodes:
            node.kill()
        running.kill()


def test_four_ranks_train_over_a_cable_between_two_hosts(headroom: Headroom):
    found = submit(headroom)
    state, step, attempt, reason, attempts = ended(headroom, found["job"])
    assert (state, step, attempt) == ("succeeded", STEPS, 1), reason
    assert attempts[0][-1] == ["b", "c"]
    assert list(loss(headroom, found["run"])) == list(range(1, STEPS + 1))
