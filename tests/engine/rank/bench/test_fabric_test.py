"""Fabric test over real ranks: correct sums, expected numbers of bytes."""

from __future__ import annotations

import pytest
import torch
from torch import distributed as dist

from engine.hardware.fabric_test import ALGORITHMS, BY_NAME
from engine.rank.bench import fabric_test
from engine.rank.bench.fabric_algorithms import PeerLinks
from engine.rank.bench.fabric_test import FabricBenchmark, WrongResult
from engine.spec.spec import parse

pytestmark = pytest.mark.ranks


@pytest.mark.parametrize("num_ranks", [2, 5])
def test_real_ranks_measure_every_collective(start, num_ranks):
    spec = parse({"kind": "fabric_test", "parallel": {"data": num_ranks}, "budget": {"steps": 3}})
    ran = start(spec).succeeded()
    rows = {line.step: line.metrics for line in ran.lines("step")}
    assert [rows[step]["message_bytes"] for step in sorted(rows)] == [1024, 2048, 4096]
    for one in ALGORITHMS:
        if one.name == "send_far":  # there is no other node
            assert f"{one.name}_s" not in rows[1]
            continue
        for row in rows.values():
            assert row[f"{one.name}_s"] > 0
            assert row[f"{one.name}_bus_bytes_per_s"] > 0
            if one.sent is None:
                assert f"{one.name}_sent_bytes" not in row
            else:  # chunks differ by at most one number if the ranks do not divide the message evenly
                planned = one.sent(num_ranks) * row["message_bytes"]
                assert row[f"{one.name}_sent_bytes"] == pytest.approx(planned, abs=2 * 4 * num_ranks)
    assert "every result was correct" in ran.lines("result")[0].text


def test_a_wrong_sum_is_an_error(monkeypatch, tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        alone = FabricBenchmark(PeerLinks(0, 1), torch.device("cpu"), 0, None)
        assert alone.measure(BY_NAME["ring"], 1024)["ring_s"] > 0
        monkeypatch.setitem(fabric_test.OWN_ALGORITHMS, "ring", lambda links, x: x.add_(1))
        with pytest.raises(
            WrongResult, match="All-reduce, ring of 1,024 bytes gave a wrong result on rank 0"
        ):
            alone.measure(BY_NAME["ring"], 1024)
    finally:
        dist.destroy_process_group()
