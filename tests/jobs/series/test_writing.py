"""Writing: each point exactly once, despite repetition, delay and crashes."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest
from django.db import connection, transaction

from jobs import series
from jobs.models import Batch, Chunk, Segment, StoredSeries, Stream
from jobs.series import Point, codec, grow, write
from tests.jobs.series.reference import training


def values_of(run, metric="loss"):
    drawn = series.read([run.id], [metric], points=10_000_000)
    return drawn[0].mean.tolist() if drawn else []


def expected_of(batches):
    return [point.value for batch in batches for point in batch]


@pytest.fixture
def fold_every_4(monkeypatch):
    """Folds often and seals small chunks, so that short histories pass through every stage."""
    monkeypatch.setitem(write.FOLD_EVERY, connection.vendor, 4)
    monkeypatch.setattr(grow, "CHUNK", 64)


def test_a_batch_sent_again_changes_nothing_fresh_or_folded(run, fold_every_4):
    batches = training(200, per_batch=10)
    for seq, points in enumerate(batches):
        for _ in range(3):
            series.append(run.id, 1, "rank0", seq, points)
    for seq in (0, 3, 17, 19):
        series.append(run.id, 1, "rank0", seq, batches[seq])
    assert values_of(run) == expected_of(batches)
    assert StoredSeries.objects.get().count == 200


def test_batches_in_any_order_with_repeats_make_the_same_series(run, fold_every_4):
    dice = random.Random(5)
    batches = training(640, per_batch=5)
    order = list(range(len(batches))) + [dice.randrange(len(batches)) for _ in range(60)]
    order.sort(key=lambda seq: seq + dice.uniform(-6, 6))
    for seq in order:
        series.append(run.id, 1, "rank0", seq, batches[seq])
    assert values_of(run) == expected_of(batches)
    assert Chunk.objects.exists() and Segment.objects.exists()
    series.close(run.id, 1)
    assert values_of(run) == expected_of(batches)
    assert not Batch.objects.exists()


def test_a_hole_waits_in_the_journal_and_is_readable_around_it(run, fold_every_4):
    batches = training(100, per_batch=10)
    for seq in (0, 1, 3, 4, 5, 6, 7, 8, 9):
        series.append(run.id, 1, "rank0", seq, batches[seq])
    assert Stream.objects.get().last_seq == 1
    assert values_of(run) == expected_of([batch for seq, batch in enumerate(batches) if seq != 2])
    series.append(run.id, 1, "rank0", 2, batches[2])
    series.close(run.id, 1)
    assert values_of(run) == expected_of(batches)
    assert Stream.objects.get().last_seq == 9


def test_streams_of_one_attempt_do_not_touch_each_other(run, fold_every_4):
    for stream in ("rank0", "rank1"):
        for seq in range(10):
            series.append(run.id, 1, stream, seq, [Point("step_s", stream, seq, float(seq), float(seq))])
    lines = series.read([run.id], ["step_s"])
    assert [(line.source, line.mean.tolist()) for line in lines] == [
        ("rank0", [float(n) for n in range(10)]),
        ("rank1", [float(n) for n in range(10)]),
    ]


def test_points_after_the_close_are_still_taken(run):
    batches = training(600, per_batch=100)
    for seq in range(5):
        series.append(run.id, 1, "rank0", seq, batches[seq])
    series.close(run.id, 1)
    series.close(run.id, 1)
    series.append(run.id, 1, "rank0", 5, batches[5])
    series.close(run.id, 1)
    assert values_of(run) == expected_of(batches)


def test_every_bit_of_a_value_survives_journal_segment_and_chunk(run, monkeypatch):
    monkeypatch.setattr(grow, "SEAL_AT_CLOSE", 1)
    odd = [math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1.7976931348623157e308, -1.5, 1 / 3]
    odd += [struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_DEAD_BEEF))[0]]
    points = [Point("loss", "run", step, float(step), value) for step, value in enumerate(odd)]
    bits = [struct.pack("<d", value) for value in odd]

    def stored():
        (columns,) = series_columns(run)
        return [struct.pack("<d", value) for value in columns.values]

    series.append(run.id, 1, "rank0", 0, points)
    assert Batch.objects.count() == 1 and stored() == bits
    series.fold(Stream.objects.get().id)
    assert Segment.objects.count() == 1 and stored() == bits
    series.close(run.id, 1)
    assert Chunk.objects.count() == 1 and stored() == bits


def series_columns(run):
    from jobs.series import snapshot

    taken = snapshot.read_snapshot([run.id], ["loss"])
    sealed = [snapshot.points_of(chunks) for chunks in taken.chunks.values()]
    return [columns for some in sealed for columns in some.values()] + [
        columns for by_attempt in taken.tails.values() for columns in by_attempt.values()
    ]


def test_random_columns_come_back_exactly_from_the_compressed_form():
    dice = np.random.default_rng(1)
    for count in (1, 2, 63, 64, 65, 4096):
        columns = codec.Columns(
            dice.integers(-(2**63), 2**63 - 1, count),
            dice.integers(0, 2**61, count),
            dice.integers(-(2**63), 2**63 - 1, count).view("<f8"),
        )
        back = codec.decompress(codec.compress(columns), count)
        assert [column.tobytes() for column in back] == [column.tobytes() for column in columns]


@pytest.mark.parametrize("crash_at", range(1, 15))
def test_a_crash_between_any_two_writes_loses_and_doubles_nothing(run, fold_every_4, crash_at):
    batches = training(200, per_batch=20, metrics=("loss", "grad_norm"))
    statements = 0

    def crash(execute, sql, params, many, context):
        nonlocal statements
        if sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            statements += 1
            if statements == crash_at:
                raise KeyboardInterrupt
        return execute(sql, params, many, context)

    series.append(run.id, 1, "rank0", 0, batches[0])
    acknowledged = 1
    for seq, points in enumerate(batches[1:], start=1):
        try:
            with transaction.atomic(), connection.execute_wrapper(crash):
                series.append(run.id, 1, "rank0", seq, points)
        except KeyboardInterrupt:
            assert values_of(run) == expected_of(
                [[p for p in b if p.metric == "loss"] for b in batches[:acknowledged]]
            )
            series.append(run.id, 1, "rank0", seq, points)
        acknowledged += 1
    series.close(run.id, 1)
    for metric in ("loss", "grad_norm"):
        assert values_of(run, metric) == expected_of([[p for p in b if p.metric == metric] for b in batches])
    assert statements >= crash_at


def test_the_callers_transaction_decides_whether_points_are_kept(run, fold_every_4):
    batches = training(80, per_batch=10)
    for seq in range(3):
        series.append(run.id, 1, "rank0", seq, batches[seq])

    def store_then_fail():
        with transaction.atomic():
            for seq in range(3, 8):
                series.append(run.id, 1, "rank0", seq, batches[seq])
            raise RuntimeError("the offset could not be written")

    with pytest.raises(RuntimeError):
        store_then_fail()
    assert values_of(run) == expected_of(batches[:3])


@pytest.mark.parametrize(
    ("seq", "point"),
    [
        (-1, Point("loss", "run", 1, 1.0, 1.0)),
        (0, Point("loss", "run", 1, math.nan, 1.0)),
        (0, Point("loss", "run", 2**63, 1.0, 1.0)),
    ],
)
def test_what_cannot_be_stored_exactly_is_refused(run, seq, point):
    with pytest.raises(ValueError):
        series.append(run.id, 1, "rank0", seq, [point])
    assert not Batch.objects.exists()


def test_an_empty_batch_counts_as_delivered(run):
    series.append(run.id, 1, "rank0", 0, [])
    series.append(run.id, 1, "rank0", 1, [Point("loss", "run", 1, 5.0, 1.0)])
    series.close(run.id, 1)
    assert values_of(run) == [1.0]
    (line,) = series.read([run.id], ["loss"], x="relative")
    assert line.x.tolist() == [0.0]


def test_deleting_a_run_deletes_its_series(run, fold_every_4):
    for seq, points in enumerate(training(300, per_batch=10)):
        series.append(run.id, 1, "rank0", seq, points)
    run.delete()
    assert not any(model.objects.exists() for model in (Stream, Batch, StoredSeries, Segment, Chunk))


@pytest.mark.parametrize("with_steps", [True, False])
def test_series_that_share_their_steps_and_times_keep_them_once_and_come_back_exactly(with_steps):
    steps = np.arange(7, 57) if with_steps else np.full(50, codec.NO_STEP)
    times_us = 10**15 + np.arange(50)
    values = [np.random.default_rng(n).normal(size=50) for n in range(10)]
    values[3][7:10] = math.nan, math.inf, -0.0
    shared = {(f"m{n}", "run"): codec.Columns(steps, times_us, some) for n, some in enumerate(values)}
    apart = {key: codec.Columns(*(column.copy() for column in some)) for key, some in shared.items()}
    small, large = codec.encode_batch(shared), codec.encode_batch(apart)
    assert len(small) < len(large) / 1.9
    for wanted in (None, lambda metric, source: metric in ("m3", "m9")):
        found = [
            [(key, *(column.tobytes() for column in some)) for key, some in codec.decode_batch(data, wanted)]
            for data in (small, large)
        ]
        assert found[0] == found[1] and len(found[0]) == (2 if wanted else 10)
