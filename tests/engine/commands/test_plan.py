"""The command `python -m engine plan`: tables, JSON and refusals."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.commands.tables import format_bytes, format_table
from engine.hardware.peaks import PEAKS
from engine.planner import plan, profile_from_peak
from engine.spec.presets import PRESETS, preset
from engine.spec.spec import to_yaml


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["plan", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, err = planned(capsys, *arguments, "--json")
    assert err == ""
    return code, json.loads(out)


def test_json_is_the_planners_own_plan(capsys: pytest.CaptureFixture[str]):
    """12 random presets, devices and counts."""
    rng = random.Random(16)
    for _ in range(12):
        name, peak, count = rng.choice(sorted(PRESETS)), rng.choice(PEAKS), rng.choice((8, 8, 16))
        spec = preset(name)
        if spec.precision.dtype == "auto" and "bf16" not in peak.tflops and name == "7b":
            continue
        code, found = as_json(capsys, name, "--device", peak.name, "--count", str(count))
        expected = plan(spec, profile_from_peak(peak))
        assert found["peak_bytes"] == pytest.approx(expected.peak.total_bytes)
        assert found["fits"] == expected.fits() and code == (found["fits"] == "will not fit")
        assert found["device"]["name"] == peak.name and len(found["places"]) == 3
        assert all(one["fits"] in ("fits", "tight") for one in found["best"])


def test_the_table_has_every_place_and_phase(capsys: pytest.CaptureFixture[str]):
    code, out, err = planned(capsys, "7b", "--device", "H100 SXM", "--count", "8")
    assert (code, err) == (0, "")
    for word in (
        "device",
        "host",
        "disk",
        "optimiser",
        "forward",
        "tokens/s",
        "Best layouts",
        "80.0 GiB",
        "unknown",
    ):
        assert word in out, word
    assert "nan" not in out.lower()


def test_host_and_disk_are_held_against_the_sizes_that_are_given(capsys: pytest.CaptureFixture[str]):
    given = ("7b", "--device", "A100 SXM 80", "--set", "parallel.offload_optimiser=host")
    assert as_json(capsys, *given)[1]["fits"] == "unknown"
    assert as_json(capsys, *given, "--host-gib", "2048", "--disk-gib", "2000")[1]["fits"] == "fits"
    code, found = as_json(capsys, *given, "--host-gib", "64", "--disk-gib", "20")
    assert (code, found["fits"]) == (1, "will not fit")
    assert {one["code"] for one in found["warnings"]} == {"host_full", "disk_full", "start_host"}
    assert all(one["sentence"].endswith(".") for one in found["warnings"])


def test_a_yaml_file_and_changes_are_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "spec.yaml"
    file.write_text(to_yaml(preset("124m")))
    _, deep = as_json(capsys, str(file), "--device", "nvidia a100-sxm4-40gb", "--set", "model.layers=24")
    _, flat = as_json(capsys, "124m", "--device", "A100 SXM 40")
    assert deep["num_parameters"] > 1.4 * flat["num_parameters"]


def test_without_a_device_this_machine_is_planned_for(capsys: pytest.CaptureFixture[str], monkeypatch: Any):
    monkeypatch.setenv("FOURWALLS_CPU_DEVICES", "2")
    code, found = as_json(capsys, "demo")
    places = {use["place"]: use for use in found["places"]}
    assert code == 0 and found["time"] is None and "probed" in found["why_not"]
    assert places["host"]["capacity_bytes"] and places["disk"]["capacity_bytes"]


def test_without_a_count_each_rank_has_a_device_and_this_machine_has_its_own(
    capsys: pytest.CaptureFixture[str],
):
    sets = ("--set", "parallel.data=512", "--set", "batch.global_batch_size=4096")
    code, found = as_json(capsys, "demo", "--device", "T4", *sets)
    assert (code, found["layout"].split(",")[0]) == (0, "512 data")
    code, _, err = planned(capsys, "demo", *sets)
    assert code == 2 and "512 ranks need 512 devices; this machine has" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no-such.yaml",), "'no-such.yaml' is neither a preset (demo,"),
        (
            ("demo", "--device", "A1000"),
            "'A1000' is not a known device, and none is guessed. Did you mean A10",
        ),
        (("demo", "--device", "NVIDIA GeForce RTX 4090 Laptop GPU"), "is not a known device"),
        (("demo", "--device", "zzzz"), "Known devices: B300 SXM,"),
        (("demo", "--device", "T4", "--count", "0"), "--count 0 is out of range"),
        (("demo", "--device", "T4", "--count", "1"), "2 ranks need 2 devices; --count is 1."),
        (("demo", "--device", "T4", "--host-gib", "-1"), "--host-gib -1 is out of range"),
        (("demo", "--device", "T4", "--disk-gib", "nan"), "--disk-gib nan is out of range"),
        (("demo", "--device", "T4", "--set", "model.heads=3"), "model.heads: 3 heads do not divide"),
        (("demo", "--device", "T4", "--set", "kind=fabric_test"), "A fabric test trains no model"),
    ],
)
def test_a_wrong_argument_is_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
):
    code, out, err = planned(capsys, *arguments)
    assert (code, out) == (2, "") and sentence in err


def test_columns_are_aligned():
    assert format_table(("a", "b"), [("long", "1"), ("x", "22")]) == "a      b\nlong   1\nx     22"
    assert [format_bytes(size) for size in (None, 5, 2048, 3 * 1024**3)] == [
        "unknown",
        "5 B",
        "2.0 KiB",
        "3.0 GiB",
    ]
