"""Packed series equal those in JSON; axes of tokens and energy."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest

from jobs import series
from jobs.models import Run
from jobs.series import Point


@pytest.fixture
def run(cast, db):
    owner = cast["owner"]
    return Run.objects.create(team=owner.memberships.get().team, owner=owner, name="long")


def write(run, metric, values, *, source="run", attempt=1, stream="rank0", at=1000.0, seq=0):
    points = [Point(metric, source, step, at + step, float(value)) for step, value in enumerate(values)]
    series.append(run.id, attempt, stream, seq, points)


def unpack(data: bytes) -> dict:
    """As a browser does it."""
    assert data[:4] == b"HRS1"
    size = struct.unpack_from("<I", data, 4)[0]
    head, offset = json.loads(data[8 : 8 + size]), 8 + size
    for line in head["series"]:
        n, width = line["length"], line["width"]
        assert offset % 8 == 0
        line["x"] = np.frombuffer(data, "<f8", n, offset)
        offset += 8 * n
        names = ("mean",) if line["is_raw"] else ("mean", "min", "max")
        for name in names:
            line[name] = np.frombuffer(data, f"<f{width}", n, offset)
            offset += width * n
        offset += -(width * n * len(names)) % 8
    assert offset == len(data)
    return head


def both(client, run, query):
    address = f"/api/v1/runs/{run.id}/series?{query}"
    return unpack(client.get(f"{address}&format=packed").content), client.get(address).json()


def test_packed_columns_equal_those_in_json(run, client_of):
    values = np.sin(np.arange(5000)) * 3
    values[77] = math.nan
    write(run, "loss", values)
    packed, plain = both(client_of("mate"), run, "metric=loss&points=100")
    (line,), (twin,) = packed["series"], plain["series"]
    assert line["width"] == 4
    assert line["x"].tolist() == twin["x"]
    for name in ("mean", "min", "max"):
        assert np.allclose(line[name], np.array(twin[name], float), rtol=1e-6)
    for name in ("run", "metric", "label", "is_raw", "count", "non_finite", "borders", "superseded"):
        assert line[name] == twin[name]


def test_raw_points_are_exact_to_the_bit(run, client_of):
    values = [0.1, 1 / 3, math.pi * 1e200, 5e-324, -0.0, math.nan]
    write(run, "loss", values)
    (line,) = both(client_of("mate"), run, "metric=loss")[0]["series"]
    assert line["is_raw"] and line["mean"].tobytes()[:40] == np.array(values).tobytes()[:40]
    assert math.isnan(line["mean"][5]) and line["non_finite"] == [[5, "NaN"]]


def test_values_beyond_float32_keep_their_size_in_buckets(run, client_of):
    write(run, "loss", [1e300] * 500)
    (line,) = both(client_of("mate"), run, "metric=loss&points=10")[0]["series"]
    assert (line["width"], line["max"].max()) == (8, 1e300)


@pytest.mark.parametrize("num_metrics", [0, 1, 2, 3])
def test_any_number_of_lines_is_aligned(run, client_of, num_metrics):
    for one in range(num_metrics):
        write(run, f"metric{one}", np.arange(1001 + one), stream=f"s{one}")
    query = "&".join(f"metric=metric{one}" for one in range(max(1, num_metrics)))
    packed, plain = both(client_of("mate"), run, query + "&points=501")
    assert [line["x"].tolist() for line in packed["series"]] == [line["x"] for line in plain["series"]]


def test_what_is_missing_is_said_in_both_forms(run, client_of):
    packed, plain = both(client_of("mate"), run, "metric=loss")
    assert packed["missing"] == plain["missing"] != {}


def test_a_stranger_gets_no_bytes(run, client_of):
    answer = client_of("stranger").get(f"/api/v1/runs/{run.id}/series?metric=loss&format=packed")
    assert answer.status_code == 404


def test_more_than_a_browser_could_hold_is_refused_with_a_way_out(run, client_of):
    query = "&".join(f"metric=m{one}" for one in range(200))
    same = "&".join(["points=10000", query, *[f"run={run.id}"]])
    answer = client_of("mate").get(f"/api/v1/series?{same}")
    assert answer.status_code == 200  # 2,000,000
    runs = [Run.objects.create(team=run.team, owner=run.owner, name="more").id for _ in range(3)]
    answer = client_of("mate").get(f"/api/v1/series?{same}&" + "&".join(f"run={one}" for one in runs))
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "800 lines of 10,000 points are 8,000,000; one reply has at most 4,000,000. "
        "Ask for points=5,000 or fewer, or fewer runs, metrics or sources at a time."
    )


def test_sources_count_as_lines_too(run, client_of):
    points = [Point("rss_bytes", f"rank{rank}", 1, 1.0, 1.0) for rank in range(500)]
    series.append(run.id, 1, "s", 0, points)
    answer = client_of("mate").get(f"/api/v1/runs/{run.id}/series?metric=rss_bytes&points=10000")
    assert answer.status_code == 422
    assert "500 lines" in answer.json()["detail"]


def energy(run, device, start, joules, attempt=1):
    """One reading a second, by the clock."""
    source = f"device:{device}"
    points = [Point("energy_j", source, None, start + second, float(j)) for second, j in enumerate(joules)]
    series.append(run.id, attempt, source, 0, points)


def test_energy_along_x_is_that_of_all_devices_over_all_attempts(run, client_of):
    write(run, "loss", [5, 4, 3, 2, 1], at=1000.0)
    energy(run, "a", 1000.0, [0, 10, 20, 30, 40])
    energy(run, "b", 1000.0, [0, 5, 10, 15, 20])
    client = client_of("mate")
    (line,) = both(client, run, "metric=loss&x=energy")[1]["series"]
    assert line["x"] == [0, 15, 30, 45, 60]
    points = [Point("loss", "run", 5 + one, 1100.0 + one, 0.5) for one in range(3)]
    series.append(run.id, 2, "rank0b", 0, points)
    energy(run, "a", 1100.0, [0, 100, 200], attempt=2)  # its counter restarts
    (line,) = both(client, run, "metric=loss&x=energy")[1]["series"]
    assert line["x"] == [0, 15, 30, 45, 60, 60, 160, 260]
    assert line["borders"] == [60]
    (part,) = both(client, run, "metric=loss&x=energy&lo=30&hi=60")[1]["series"]
    assert part["x"][:3] == [30, 45, 60]


def test_a_run_without_energy_is_left_out_of_that_axis_with_the_reason(run, client_of):
    write(run, "loss", [5, 4])
    body = both(client_of("mate"), run, "metric=loss&x=energy")[1]
    assert body["series"] == []
    assert body["missing"][run.id]["loss"] == {"": ["absent", "No device of this run reports its energy."]}


def test_energy_of_only_some_devices_is_not_the_energy_of_the_run(run, client_of):
    write(run, "loss", [5, 4])
    energy(run, "a", 1000.0, [0, 10])
    Run.objects.filter(id=run.id).update(missing={"device:b": {"energy_j": ["unsupported", "No counter."]}})
    body = both(client_of("mate"), run, "metric=loss&x=energy")[1]
    assert body["series"] == []
    assert "Some devices" in body["missing"][run.id]["loss"][""][1]


def test_points_long_after_the_last_reading_of_energy_have_no_place(run, client_of):
    write(run, "loss", np.arange(100), at=1000.0)
    energy(run, "a", 1000.0, np.arange(50) * 2)
    (line,) = both(client_of("mate"), run, "metric=loss&x=energy")[1]["series"]
    assert len(line["x"]) == 50 + 5
