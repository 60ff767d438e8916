"""The command `python -m engine judge`, on attempt folders with a known limit."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.__main__ import main
from engine.directory import AttemptDirectory
from engine.spec.spec import Spec, parse
from engine.telemetry.wire import SpoolLine, encode
from engine.verdict.attempt_facts import NoAttempt, read_attempt_facts
from engine.verdict.judge import judge
from tests.engine.rank.attempts import write_attempt

STEPS = 60
WORK = {
    "data_wait_s": 0.0,
    "forward_s": 0.03,
    "backward_s": 0.06,
    "communication_s": 0.002,
    "optimiser_s": 0.01,
}
WORK |= {"other_s": 0.002}
CAUSES = {
    "input": {"data_wait_s": 0.08},
    "communication": {"communication_s": 0.09},
    "host": {"other_s": 0.07},
    "compute": {},
}


def spec_of(ranks: int, **more: Any) -> Spec:
    return parse({
        "batch": {"global_batch_size": 8 * ranks, "micro_batch_size": 2}, "parallel": {"data": ranks, "zero_stage": 0},
        "budget": {"steps": STEPS, "validate_every": 0, "checkpoint_every": 0}, "precision": {"dtype": "fp32"},
    } | more)  # fmt: skip


def write_spool(directory: AttemptDirectory, ranks: int, rng: random.Random, **extra: float) -> None:
    """Steps of all ranks, with a cut line, a line of another version, a NaN and a step that is repeated."""
    for rank in range(ranks):
        lines, at = [b'{"torn\n', b'{"k":"step","at":1,"source":"run","v":99}\n'], 1000.0
        for step in (*range(1, 31), *range(29, STEPS + 1)):
            phases = {name: (WORK | extra)[name] * rng.uniform(0.97, 1.03) for name in WORK}
            at += sum(phases.values())
            if rank == 0:
                run = {"loss": float("nan"), "step_s": sum(phases.values()), "mfu_share": 0.4}
                lines.append(encode(SpoolLine("step", at, "run", step=step, metrics=run)))
            metrics = phases | {"collective_bytes": 1e6}
            lines.append(encode(SpoolLine("step", at, f"rank{rank}", step=step, metrics=metrics)))
        (directory.spool / f"rank{rank}.jsonl").write_bytes(b"".join(lines) + b'{"k":"step","at":2')
    reading = {"cpu_pressure_share": 0.01, "memory_used_bytes": 4e8}
    missing = {"power_w": ("absent", "no counter")}
    readings = [
        encode(SpoolLine("device", 1000.0 + at, f"device:cpu-test-{rank}", metrics=reading, missing=missing))
        for at in range(8)
        for rank in range(ranks)
    ]
    (directory.spool / "device.jsonl").write_bytes(b"".join(readings))


def test_an_attempt_folder_has_the_verdict_of_its_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """24 random attempts: four causes, one to four ranks. One rank alone has no communication to lose time in."""
    rng = random.Random(17)
    for number in range(24):
        cause, ranks = rng.choice(sorted(CAUSES)), rng.choice((1, 2, 4))
        if cause == "communication" and ranks == 1:
            ranks = 2
        directory = write_attempt(tmp_path / str(number), spec_of(ranks), tmp_path)
        write_spool(directory, ranks, rng, **CAUSES[cause])
        assert main(["judge", str(directory.path), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert cause in found["rules"] or (cause == "compute" and found["severity"] != "strong"), (
            cause,
            found["rules"],
        )


def test_facts_of_a_folder_are_those_of_its_steady_steps(tmp_path: Path):
    directory = write_attempt(tmp_path / "a", spec_of(2), tmp_path)
    write_spool(directory, 2, random.Random(18))
    facts = read_attempt_facts(directory)
    assert [rank.rank for rank in facts.ranks] == [0, 1] and facts.coverage == 1.0
    assert facts.last_step == STEPS and facts.mfu_share == pytest.approx(0.4)
    # Warm-up of the first start, and of the second at step 29, which was repeated.
    assert facts.num_steps == pytest.approx(STEPS - 10, abs=6)
    total = np.sum([values for values in facts.ranks[0].phases.values()], axis=0)
    assert np.allclose(total, facts.step_s)
    assert facts.devices[0].means["cpu_pressure_share"] == 0.01 and facts.devices[0].peak_bytes == 4e8
    assert facts.devices[0].missing["power_w"] == "no counter"


def test_the_table_names_limit_share_and_remedies(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    directory = write_attempt(tmp_path / "a", spec_of(2), tmp_path)
    write_spool(directory, 2, random.Random(19), **CAUSES["input"])
    assert main(["judge", str(directory.path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("input") and "steady steps" in out and "share" in out
    verdict = judge(read_attempt_facts(directory))
    assert verdict.sentence in out
    for remedy in verdict.remedies:
        assert remedy.title in out


@pytest.mark.parametrize(
    ("more", "lines", "sentence"),
    [
        ({}, b"", "No step has been made yet."),
        ({"kind": "fabric_test"}, b"", "A fabric test trains no model"),
    ],
)
def test_an_attempt_without_steps_has_the_reason_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any], lines: bytes, sentence: str
):
    directory = write_attempt(tmp_path / "a", spec_of(2, **more), tmp_path)
    (directory.spool / "rank0.jsonl").write_bytes(lines)
    assert main(["judge", str(directory.path)]) == 1
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"model": {"layrs": 3}}'])
def test_a_folder_that_is_no_attempt_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
):
    folder = tmp_path / "other"
    if content is not None:
        folder.mkdir()
        (folder / "spec.json").write_bytes(content)
    assert main(["judge", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "is not the folder of an attempt" in err and "Traceback" not in err
    with pytest.raises(NoAttempt):
        read_attempt_facts(AttemptDirectory(folder))
