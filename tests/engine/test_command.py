"""The command `python -m engine`, with shell scripts as ranks and one real run."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import __main__ as command
from engine import follow
from engine.directory import CONTROLS, AttemptDirectory, Control, TraceRequest
from engine.telemetry.wire import SpoolLine, decode, encode
from fourwalls.system import procfs
from tests.engine.supervised import ROOT, STEP_UNTIL_STOPPED, until

pytestmark = pytest.mark.slow

WRITE_STEPS = """
[ $RANK = 0 ] && cat >> "$DIR/spool/rank0.jsonl" <<END
{"k":"step","at":100.0,"source":"run","v":1,"step":1,"metrics":{"loss":3.5,"tokens_per_s":900}}
{"k":"step","at":102.0,"source":"run","v":1,"step":2,"metrics":{"loss":"NaN","tokens_per_s":1000}}
END
"""


class Machine:
    """A home folder for a test, with a script as trainer."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run_dir = folder, folder / "run"
        self.environment = os.environ | {"FOURWALLS_HOME": str(folder / "home"), "FOURWALLS_CPU_DEVICES": "2"}

    def trainer(self, script: str) -> Machine:
        path = self.folder / "trainer"
        path.write_text(f'#!/bin/sh\nDIR="$3"; RANK="$4"\n{script}\n')
        path.chmod(0o700)
        self.environment["TRAINER_PYTHON"] = str(path)
        return self

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        command = [sys.executable, "-m", "engine", *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, text=True, **pipes)

    def train(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start("train", *arguments, "--dir", str(self.run_dir))
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def pids(self) -> list[int]:
        state = AttemptDirectory(self.run_dir).read_state()
        return [rank.pid for rank in state.ranks] if state else []


ONE_RANK = ("--set", "parallel.data=1", "--set", "budget.steps=2", "--set", "optimiser.warmup_steps=1")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    state = AttemptDirectory(machine.run_dir).read_state() if machine.run_dir.is_dir() else None
    if state and procfs.is_alive(state.pid, state.pid_started):
        os.kill(state.pid, signal.SIGKILL)


def test_a_successful_run_prints_one_line_of_json(machine: Machine) -> None:
    code, out, err = machine.trainer(WRITE_STEPS + "exit 0").train("demo", *ONE_RANK)
    result = json.loads(out)
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert (result["state"], result["step"], result["steps"]) == ("succeeded", 2, 2)
    assert result["metrics"] == {"loss": "nan", "tokens_per_s": 1000.0}
    assert result["checkpoint"] is None and result["dir"] == str(machine.run_dir)


def test_a_failed_run_prints_its_reason_and_its_last_log_lines(machine: Machine) -> None:
    code, out, err = machine.trainer("echo 'ValueError: no text'; exit 1").train("demo", *ONE_RANK)
    assert (code, json.loads(out)["state"]) == (1, "failed")
    assert json.loads(out)["reason"] == "rank 0 ended with exit code 1: ValueError: no text"
    assert err == "ValueError: no text\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("no-such-file.yaml",), "'no-such-file.yaml' is neither a preset (demo,"),
        (("demo", "--set", "model.heads=3"), "model.heads: 3 heads do not divide the width 128; use 4."),
        (
            ("demo", "--set", "model.layrs=3"),
            "model.layrs: 'layrs' is not a field of a spec. Did you mean 'layers'?",
        ),
        (
            ("demo", "--set", "parallel.data=64", "--set", "batch.global_batch_size=512"),
            "64 ranks need 64 devices",
        ),
        (
            ("demo", "--set", "precision.dtype=fp16"),
            "precision.dtype: DeepSpeed does not support fp16 on CPU",
        ),
        (("demo", "--set", "nonsense"), "'nonsense' does not have the form field=value"),
        (("demo", "--resume"), "has no complete checkpoint to resume from."),
    ],
)
def test_an_invalid_spec_starts_nothing(machine: Machine, arguments: tuple[str, ...], expected: str) -> None:
    code, out, err = machine.trainer('touch "$DIR/ready$RANK"').train(*arguments)
    assert (code, out) == (2, "") and expected in err
    assert not machine.run_dir.exists()


def test_every_problem_of_a_spec_has_its_own_line(machine: Machine) -> None:
    _, _, err = machine.train("demo", "--set", "model.heads=3", "--set", "parallel.stages=9")
    assert [line.partition(":")[0] for line in err.splitlines()][:2] == ["model.heads", "parallel.stages"]


def test_a_spec_file_of_ten_megabytes_is_refused_without_reading_it_all(machine: Machine) -> None:
    huge = machine.folder / "huge.yaml"
    huge.write_bytes(b"# " + b"x" * 10_000_000)
    assert "the limit is 65,536" in machine.train(str(huge))[2]


def test_a_yaml_file_is_trained_as_written(machine: Machine) -> None:
    file = machine.folder / "spec.yaml"
    file.write_text("name: mine\nparallel: {data: 1}\nmodel: {layers: 2}\n")
    assert machine.trainer("exit 0").train(str(file), "--set", "model.layers=3")[0] == 0
    spec = AttemptDirectory(machine.run_dir).read_spec()
    assert (spec.name, spec.model.layers) == ("mine", 3)


def test_a_folder_with_an_attempt_is_not_overwritten(machine: Machine) -> None:
    machine.trainer("exit 0").train("demo", *ONE_RANK)
    code, _, err = machine.train("demo", *ONE_RANK)
    assert code == 2 and "Use --resume to continue it" in err


def test_an_unwritable_folder_prints_one_sentence(machine: Machine) -> None:
    machine.run_dir.write_text("a file in the way")
    code, _, err = machine.trainer("exit 0").train("demo", *ONE_RANK)
    assert code == 2 and err.count("\n") == 1 and "cannot be written" in err


def test_resume_starts_the_next_attempt_from_the_newest_checkpoint(machine: Machine) -> None:
    script = 'mkdir -p "$DIR/checkpoints/step-00000007"; touch "$DIR/checkpoints/step-00000007/manifest.json"; exit 75'
    code, out, _ = machine.trainer(script).train("demo", *ONE_RANK)
    assert (code, json.loads(out)["state"]) == (75, "stopped")
    code, out, _ = machine.trainer("exit 0").train("demo", *ONE_RANK, "--resume")
    placement = AttemptDirectory(machine.run_dir).read_placement()
    assert (code, placement.attempt) == (0, 2)
    assert placement.resume_from == str(machine.run_dir / "checkpoints/step-00000007")


FILL_THE_DISK = """
dd if=/dev/zero of="$DIR/fill" bs=1k count=99999 2>/dev/null
first=$(cat "$DIR/lease")
for i in $(seq 200); do [ "$(cat "$DIR/lease")" != "$first" ] && break; sleep 0.05; done
[ "$(cat "$DIR/lease")" != "$first" ] || exit 7
sleep 1.5; rm "$DIR/fill"; sleep 2.5; exit 0
"""


def test_a_full_disk_does_not_end_the_training(machine: Machine) -> None:
    """The lease is renewed in its place on the disk, so the supervisor does not stop the ranks either."""
    disk = machine.folder / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=400k tmpfs {disk}"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine does not allow a small file system")
    machine.trainer(FILL_THE_DISK)
    train = f"{sys.executable} -m engine train demo {' '.join(ONE_RANK)} --dir {disk}/run"
    found = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount} && exec {train}"],
        cwd=ROOT, env=machine.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (found.returncode, json.loads(found.stdout)["state"]) == (0, "succeeded"), found.stderr
    assert found.stderr.count("No space left on device. Training continues;") == 1
    assert f"{disk}/run can be written again." in found.stderr
    assert found.stderr.count("Traceback") <= 1, (
        "a repeated failure of the sampler is counted and not printed"
    )


def test_a_folder_that_cannot_be_written_at_all_does_not_end_the_command(tmp_path: Path) -> None:
    directory, printed = AttemptDirectory(tmp_path), list[str]()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(command, "_print_message", printed.append)
        lease = command.LeaseRenewal(directory)
        lease.renew()
        (tmp_path / "lease").unlink()
        (tmp_path / "lease").mkdir()  # neither a rename over it nor a write works
        lease.renew()
        lease.renew()
        (tmp_path / "lease").rmdir()
        lease.renew()
    assert len(printed) == 2 and "stops at a step boundary in 300 s" in printed[0]
    assert printed[1] == f"{tmp_path} can be written again."
    assert [path.name for path in tmp_path.iterdir()] == ["lease"]


@pytest.mark.parametrize("before", CONTROLS)
@pytest.mark.parametrize("after", CONTROLS)
def test_a_control_word_is_written_over_any_other_on_a_full_disk(
    before: Control, after: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = AttemptDirectory(tmp_path)
    directory.write_control(before)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    directory.write_control(after)
    assert directory.read_control() == after
    assert [path.name for path in tmp_path.iterdir()] == ["control"]


def test_a_running_attempt_is_not_resumed(machine: Machine) -> None:
    first = machine.trainer(STEP_UNTIL_STOPPED).start(
        "train", "demo", *ONE_RANK, "--dir", str(machine.run_dir)
    )
    until((machine.run_dir / "ready0").exists, "a start")
    code, _, err = machine.train("demo", *ONE_RANK, "--resume")
    assert code == 2 and "is in use" in err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)


def test_ctrl_c_stops_at_a_step_boundary(machine: Machine) -> None:
    process = machine.trainer(STEP_UNTIL_STOPPED).start(
        "train", "demo", *ONE_RANK, "--dir", str(machine.run_dir)
    )
    until((machine.run_dir / "ready0").exists, "a start")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["state"]) == (75, "stopped")
    assert "Stopping at a step boundary" in err


def test_a_second_ctrl_c_kills_the_ranks(machine: Machine) -> None:
    script = 'trap "touch $DIR/signalled" TERM; touch "$DIR/ready$RANK"; while :; do sleep 0.02; done'
    process = machine.trainer(script).start("train", "demo", *ONE_RANK, "--dir", str(machine.run_dir))
    until((machine.run_dir / "ready0").exists, "a start")
    process.send_signal(signal.SIGINT)
    until((machine.run_dir / "signalled").exists, "the first Ctrl-C")
    pids = machine.pids()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "SIGKILL" in json.loads(out)["reason"]
    until(lambda: not any(procfs.stat(pid) for pid in pids), "the end of the ranks")


def test_devices_are_sampled_into_the_spool_of_the_run(machine: Machine) -> None:
    process = machine.trainer(STEP_UNTIL_STOPPED).start(
        "train", "demo", *ONE_RANK, "--dir", str(machine.run_dir)
    )
    file = machine.run_dir / "spool/device.jsonl"
    until(lambda: file.exists() and file.read_bytes().count(b"\n") >= 2, "two readings")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    first, second = (decode(text) for text in file.read_bytes().splitlines()[:2])
    assert first.k == "device" and first.missing
    assert {"memory_used_bytes", "utilisation_pct"} <= second.metrics.keys()


def test_a_terminal_shows_the_progress_in_one_line(machine: Machine) -> None:
    until_read = WRITE_STEPS + 'while [ ! -e "$DIR/seen" ]; do sleep 0.02; done; exit 0'
    reader, terminal = pty.openpty()
    process = machine.trainer(until_read).start(
        "train", "demo", *ONE_RANK[:2], "--dir", str(machine.run_dir), stdout=terminal
    )
    os.close(terminal)
    shown = b""
    while b"left" not in shown:
        shown += os.read(reader, 1024)
    (machine.run_dir / "seen").touch()
    process.communicate(timeout=60)
    os.close(reader)
    assert b"step 2/150  loss nan  1,000 tokens/s  4:56 left" in shown


def test_devices_lists_this_machine_as_json(machine: Machine) -> None:
    process = machine.start("devices")
    found = json.loads(process.communicate(timeout=60)[0])
    assert found["devices"][0]["id"] and found["node"]["kernel"] == os.uname().release


def test_a_spool_tail_reads_whole_lines_and_skips_invalid_ones(tmp_path: Path) -> None:
    file, tail = tmp_path / "rank0.jsonl", follow.SpoolTail(tmp_path / "rank0.jsonl")
    assert list(tail.new_lines()) == []
    line = encode(SpoolLine("note", time.time(), "run", text="hello"))
    file.write_bytes(b'{"torn\n' + line + line[:10])
    assert [found.text for found in tail.new_lines()] == ["hello"]
    file.write_bytes(b'{"torn\n' + line + line)
    assert [found.text for found in tail.new_lines()] == ["hello"]


@pytest.mark.ranks
def test_a_real_run_succeeds_and_resumes_from_its_checkpoint(machine: Machine) -> None:
    tiny = (
        "--set",
        "model.layers=1",
        "--set",
        "model.width=32",
        "--set",
        "model.context=16",
        "--set",
        "data.tokenizer=bytes",
    )
    code, out, err = machine.train(
        "demo", *tiny, "--set", "budget.steps=3", "--set", "optimiser.warmup_steps=1"
    )
    assert (code, json.loads(out)["step"]) == (0, 3), err
    code, out, err = machine.train(
        "demo", *tiny, "--set", "budget.steps=5", "--set", "optimiser.warmup_steps=1", "--resume"
    )
    result = json.loads(out)
    assert (code, result["step"], Path(result["checkpoint"]).name) == (0, 5, "step-00000005"), err
    steps = [decode(text).step for text in (machine.run_dir / "spool/rank0.jsonl").read_bytes().splitlines()
             if decode(text).k == "step" and decode(text).source == "run"]  # fmt: skip
    assert steps == [1, 2, 3, 4, 5]


def test_the_trace_command_writes_a_request_into_the_folder_of_a_run(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.run_dir / "trace").mkdir(parents=True)
    for number in (1, 2):
        process = machine.start("trace", "--dir", str(machine.run_dir), "--steps", "2", "--rank", "1")
        assert "next 2 steps" in process.communicate(timeout=60)[1] and process.returncode == 0
        assert AttemptDirectory(machine.run_dir).read_trace_request() == TraceRequest(number, 2, (1,))


@pytest.mark.parametrize(
    ("steps", "message"), [("3", "is not the folder of a run"), ("99", "invalid choice")]
)
def test_a_trace_without_a_run_or_of_too_many_steps_is_refused(
    tmp_path: Path, steps: str, message: str
) -> None:
    process = Machine(tmp_path).start("trace", "--dir", str(tmp_path / "nowhere"), "--steps", steps)
    assert message in process.communicate(timeout=60)[1] and process.returncode == 2
