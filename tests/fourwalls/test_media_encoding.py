"""Media from random arrays, read back by other readers."""

from __future__ import annotations

import io
import json
import math
import random
import struct
import wave
import zlib

import numpy as np
import pytest

from fourwalls.media import Audio, Histogram, Image, Table, Video
from fourwalls.media.entries import build, split
from fourwalls.media.images import COLOUR_TYPES
from fourwalls.media.tables import count_values

SEED, CASES = 31, 200
CHANNELS = {number: channels for channels, number in COLOUR_TYPES.items()}


def read_chunks(content: bytes):
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    position = 8
    while position < len(content):
        (length,) = struct.unpack(">I", content[position : position + 4])
        kind, body = content[position + 4 : position + 8], content[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack(">I", content[position + 8 + length : position + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        yield kind, body
        position += 12 + length


def read_png(content: bytes) -> np.ndarray:
    chunks = list(read_chunks(content))
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[0][1])
    assert depth == 8 and chunks[-1][0] == b"IEND"
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    rows = np.frombuffer(raw, np.uint8).reshape(height, 1 + width * CHANNELS[colour])
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, CHANNELS[colour])


def test_random_arrays_become_the_same_pixels():
    draw = np.random.default_rng(SEED)
    for _ in range(CASES):
        height, width = draw.integers(1, 20, 2)
        channels = int(draw.choice([0, 1, 3, 4]))
        shape = (height, width, channels) if channels else (height, width)
        pixels = draw.integers(0, 256, shape, dtype=np.uint8)
        kind = draw.choice(["uint8", "float", "int64", "bool"])
        given = {
            "uint8": pixels,
            "float": pixels / 255.0,
            "int64": pixels.astype(np.int64),
            "bool": pixels > 127,
        }[kind]
        expected = (pixels > 127).astype(np.uint8) * 255 if kind == "bool" else pixels
        image = Image(given)
        assert not image.problem, image.problem
        read = read_png(image.content)
        assert (image.height, image.width) == (height, width)
        assert np.abs(read.astype(int) - expected.reshape(height, width, -1).astype(int)).max() <= 1


def test_a_batch_becomes_a_grid_and_a_video_an_animation_of_all_frames():
    draw = np.random.default_rng(SEED)
    grid = read_png(Image(draw.random((5, 6, 7, 3))).content)
    assert grid.shape == (12, 21, 3)
    frames = draw.integers(0, 255, (9, 3, 6, 8), dtype=np.uint8)
    chunks = list(read_chunks(Video(frames, fps=5).content))
    bodies = [body if kind == b"IDAT" else body[4:] for kind, body in chunks if kind in (b"IDAT", b"fdAT")]
    assert len(bodies) == 9 and [kind for kind, _ in chunks].count(b"fcTL") == 9
    numbers = [body[:4] for kind, body in chunks if kind in (b"fcTL", b"fdAT")]
    assert [struct.unpack(">I", one)[0] for one in numbers] == list(range(17))
    for frame, body in zip(frames, bodies, strict=True):
        rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(6, 1 + 8 * 3)[:, 1:].reshape(6, 8, 3)
        assert (rows == np.moveaxis(frame, 0, -1)).all()


def test_samples_come_back_from_the_wave_file():
    draw = np.random.default_rng(SEED)
    for shape in ((100,), (100, 2), (2, 100)):
        samples = draw.uniform(-1.2, 1.2, shape)
        with wave.open(io.BytesIO(Audio(samples, sample_rate=8000).content)) as file:
            assert (file.getframerate(), file.getnframes(), file.getnchannels()) == (
                8000,
                100,
                max(1, len(shape)),
            )
            read = np.frombuffer(file.readframes(100), "<i2") / 32_767
        expected = np.clip(samples.T if shape == (2, 100) else samples, -1, 1).ravel()
        assert np.abs(read - expected).max() < 1e-4


def test_random_histograms_count_every_finite_value_with_and_without_numpy():
    draw = random.Random(SEED)
    for _ in range(CASES):
        scale = 10 ** draw.uniform(-12, 12)
        values = [draw.gauss(0, scale) for _ in range(draw.randint(1, 60))]
        values += draw.choices([math.nan, math.inf, -math.inf, 0.0, values[0]], k=draw.randint(0, 5))
        bins = draw.choice([1, 2, 10, 64])
        counts, edges = count_values(values, bins)
        assert sum(counts) == sum(map(math.isfinite, values)) and len(edges) == bins + 1
        assert edges == sorted(edges) and edges[0] < edges[-1]
        other, other_edges = count_values(np.array(values), bins)
        assert sum(other) == sum(counts) and np.allclose(edges, other_edges, rtol=1e-6, atol=scale * 1e-6)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Image("/nothing.png"), lambda: Image(np.zeros((2, 2, 7))), lambda: Image(object()), lambda: Image([]),
        lambda: Audio(np.zeros(9)), lambda: Audio("x.mp3"), lambda: Video(np.zeros((3, 3))), lambda: Video(None),
        lambda: Histogram([]), lambda: Histogram(["a"]), lambda: Histogram([math.nan]), lambda: Table(data=3),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_reported_and_raises_nothing(made, caplog):
    item = made()
    assert item.problem and "is not logged" in caplog.text
    rest, found = split({"bad": item, "worse": [item], "good": 1.0})
    assert rest == {"good": 1.0} and not found


def test_a_table_keeps_its_cells_and_the_files_in_them():
    table = Table(["a", "b", "c"], [[1, "x", None]])
    table.add_data(np.float32(0.5), Image(np.zeros((2, 2))), math.nan)
    table.add_data(1)
    table.add_column("d", [True, False])
    entries, files = build({"preds": [table]}, 7, 0, "run")
    content = json.loads(dict(files)[entries[0]["items"][0]["path"]])
    assert content["columns"] == ["a", "b", "c", "d"]
    assert content["rows"][0] == [1, "x", None, True] and content["rows"][2] == [1, None, None, None]
    assert content["rows"][1][0] == 0.5 and content["rows"][1][2] == "nan"
    assert content["rows"][1][1]["path"] == "media/preds/7-0.png" in dict(files)
