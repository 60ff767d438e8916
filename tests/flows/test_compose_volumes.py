"""docker-compose.yml against Dockerfile and settings: mounts, owners, times, secrets, health.

Every case is made from the file itself: a new service, mount, secret or path of the settings is a new case.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import PurePosixPath

import pytest

from jobs.agent.loop import SHUTDOWN_MARGIN_S
from tests.flows.compose_file import (
    COMPOSE,
    VARIABLE,
    document,
    mounts,
    own_folders,
    own_services,
    seconds,
    services,
    settings_of,
    stages,
    target_of,
)
from tests.running import ROOT

OTHERS_DATA = {"postgres": "/var/lib/postgresql/data", "valkey/valkey": "/data"}  # as their images document
AGENTS = ("agent", "agent-gpu")
# Who uses which folder of the settings: "rw" and "ro" need a volume.
USES = {
    "NODE_DIR": {"agent": "rw", "agent-gpu": "rw"},
    "DATA_DIR": {"agent": "rw", "agent-gpu": "rw"},
    "CHECKPOINT_ROOT": {"agent": "rw", "agent-gpu": "rw", "web": "rw", "scheduler": "rw"},
    "CORPUS_ROOT": {"agent": "ro", "agent-gpu": "ro", "web": "ro"},
    "ARTEFACT_ROOT": {"web": "rw"},
}
UNUSED = {
    "HOME_DIR": "the folder of the others",
    "STATIC_ROOT": "collected again at each start of web",
    "URL_FILE": "written by `up`",
    "PREPARING_FILE": "held by `up`",
    "BROKER_SOCKET": "of the embedded broker",
}
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY")

every_service = pytest.mark.parametrize("name", services())
own_service = pytest.mark.parametrize("name", own_services())
agent = pytest.mark.parametrize("name", AGENTS)
MOUNTS = [(name, mount) for name in services() for mount in mounts(name)]
IMAGES = sorted({target_of(name) for name in own_services()})
FOLDERS = [(name, folder, mode) for folder, users in USES.items() for name, mode in users.items()]


@pytest.mark.parametrize(("name", "mount"), MOUNTS, ids=[f"{name}:{m.target}" for name, m in MOUNTS])
def test_a_mount_covers_a_folder_that_its_image_makes_for_its_user(name, mount):
    image = services()[name]["image"].split(":")[0]
    if name not in own_services():
        assert mount.target == OTHERS_DATA[image]
        return
    user = [line.split()[1] for line in stages()[target_of(name)] if line.startswith("USER ")][-1]
    assert own_folders(target_of(name)).get(mount.target) == (user, 0o700)


def test_every_volume_is_declared_and_used_at_one_path():
    used = {mount.volume for _, mount in MOUNTS}
    assert used == set(document()["volumes"])
    targets = {volume: {m.target for _, m in MOUNTS if m.volume == volume} for volume in used}
    assert {volume for volume, found in targets.items() if len(found) > 1} == set()


def test_no_two_volumes_of_a_service_cover_one_folder():
    for name in services():
        targets = [mount.target for mount in mounts(name)]
        assert len(targets) == len(set(targets))


@own_service
def test_every_path_of_the_settings_has_its_row(name):
    home = settings_of(name)["HOME_DIR"]
    paths = {key for key, value in settings_of(name).items() if str(value).startswith(home)}
    assert paths == set(USES) | set(UNUSED)


@pytest.mark.parametrize(("name", "folder", "mode"), FOLDERS)
def test_a_folder_that_a_service_uses_lies_on_a_volume(name, folder, mode):
    path = PurePosixPath(settings_of(name)[folder])
    within = [mount for mount in mounts(name) if path.is_relative_to(mount.target)]
    assert within and (mode == "ro" or within[0].is_writable)


@pytest.mark.parametrize("folder", USES)
def test_services_that_share_a_folder_share_its_volume(folder):
    found = {
        settings_of(name)[folder]: {m.volume for m in mounts(name) if m.target == settings_of(name)[folder]}
        for name in USES[folder]
    }
    assert all(len(volumes) == 1 for volumes in found.values())
    assert folder == "NODE_DIR" or len(found) == 1


@agent
def test_no_other_service_writes_into_the_folder_of_a_node(name):
    volume = next(mount.volume for mount in mounts(name) if mount.target == settings_of(name)["NODE_DIR"])
    writers = [one for one, mount in MOUNTS if mount.volume == volume and mount.is_writable]
    assert writers == [name]
    readers = [one for one, mount in MOUNTS if mount.volume == volume and not mount.is_writable]
    assert readers == ["web"]  # logs


@agent
def test_ranks_stop_before_the_agent_and_the_agent_before_its_container(name):
    grace_s = settings_of(name)["STOP_GRACE_S"]
    container_s = seconds(services()[name]["stop_grace_period"])
    assert "--stop-attempts" in services()[name]["command"]
    assert SHUTDOWN_MARGIN_S >= 10
    assert container_s >= grace_s + SHUTDOWN_MARGIN_S + 30
    assert settings_of(name)["REASSIGN_AFTER_S"] > container_s + settings_of(name)["UNREACHABLE_AFTER_S"]


@own_service
def test_every_own_service_reaps_and_forwards_signals(name):
    assert services()[name]["init"] is True


@every_service
def test_a_service_has_a_healthcheck_unless_it_ends_by_itself(name):
    service = services()[name]
    if service["restart"] == "no":
        assert "healthcheck" not in service
        return
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert seconds(check["timeout"]) <= seconds(check["interval"]) + 5 and int(check["retries"]) >= 3
    assert seconds(check["interval"]) * int(check["retries"]) >= 60  # a slow start is not an end


@every_service
def test_what_a_service_waits_for_can_be_reached(name):
    for other, wanted in services()[name].get("depends_on", {}).items():
        ends = services()[other]["restart"] == "no"
        assert wanted["condition"] == ("service_completed_successfully" if ends else "service_healthy")


def needs(name: str) -> set[str]:
    """Everything that a service waits for, directly or through others."""
    found = set(services()[name].get("depends_on", {}))
    return found.union(*(needs(other) for other in found))


@every_service
def test_a_service_waits_itself_for_what_an_ended_service_needs(name):
    """Else compose, which stops in reverse order, stops the database before those who need it to end in order."""
    direct = set(services()[name].get("depends_on", {}))
    assert needs(name) == direct


@every_service
def test_logs_are_bounded(name):
    assert set(services()[name]["logging"]["options"]) == {"max-size", "max-file"}


@every_service
def test_only_web_is_published_and_only_on_this_machine(name):
    assert services()[name].get("ports", []) == (["127.0.0.1:8000:8000"] if name == "web" else [])
    assert "network_mode" not in services()[name]


def test_a_secret_has_no_default_and_is_required():
    found = [(name, rest) for name, rest in VARIABLE.findall(COMPOSE.read_text()) if SECRET.search(name)]
    assert {name for name, _ in found} == {"POSTGRES_PASSWORD", "BROKER_PASSWORD", "SECRET_KEY"}
    assert [name for name, rest in found if not rest.startswith(":?")] == []


@every_service
def test_a_value_that_looks_like_a_secret_comes_from_a_variable(name):
    raw = [line.split("#")[0] for line in COMPOSE.read_text().splitlines()]
    for key in services()[name].get("environment", {}):
        if SECRET.search(key) or key.endswith("_URL") or key.endswith("_AUTH"):
            lines = [line for line in raw if line.strip().startswith(f"{key}:")]
            assert lines and all("${" in line for line in lines)


@own_service
def test_the_broker_asks_for_the_password_that_every_service_sends(name):
    broker = services()["broker"]
    password = broker["command"][broker["command"].index("--requirepass") + 1]
    assert len(password) > 8
    assert f":{password}@broker:" in services()[name]["environment"]["BROKER_URL"]
    assert broker["environment"]["REDISCLI_AUTH"] == password
    assert "PONG" in broker["healthcheck"]["test"][1]


@pytest.mark.parametrize("secret", [".env", ".env.local", ".fourwalls", "x/fourwalls.sqlite3", ".git"])
def test_secrets_and_data_stay_out_of_the_images(secret):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert any(fnmatch.fnmatch(secret, pattern) for pattern in patterns)


@own_service
def test_the_image_of_a_service_is_built_from_a_stage_of_the_dockerfile(name):
    assert target_of(name) in stages()
    installs = " ".join(line for line in stages()[target_of(name)] if "pip install" in line)
    assert ("[engine" in installs) == (name in AGENTS)
    assert stages()[target_of(name)][-1] == "USER fourwalls"


@pytest.mark.parametrize("stage", IMAGES)
def test_a_stage_copies_what_the_package_needs_before_it_is_installed(stage):
    lines = stages()[stage]
    first = next(number for number, line in enumerate(lines) if "pip install" in line)
    copied = {word for line in lines[:first] if line.startswith("COPY ") for word in line.split()[1:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "constraints.txt", project["project"]["readme"]}
    assert needed | {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]} <= copied


def test_django_ninja_is_installed_after_the_other_package_of_its_name():
    """DeepSpeed needs the build tool `ninja`, whose module covers that of django-ninja."""
    install = next(line for line in stages()["engine"] if "[engine" in line)
    assert re.search(r"\[engine.*&& pip install .*--no-deps --force-reinstall django-ninja$", install)


@pytest.mark.parametrize("stage", IMAGES)
def test_an_image_holds_no_machine_id(stage):
    assert any("rm -f /etc/machine-id" in line for line in stages()[stage])
