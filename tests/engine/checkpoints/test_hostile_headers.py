"""Hostile safetensors files and Hugging Face folders, generated and compared with the library."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from engine.checkpoints.huggingface.export import export
from engine.checkpoints.initial_weights import open_initial_weights
from engine.checkpoints.tensors import TensorFile, TensorFileError
from engine.rank.model.build import WholeModel
from engine.spec.problems import SpecError
from tests.engine.checkpoints.sample_checkpoints import small, write_checkpoint

CASES = 400
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 2**31, 2**63, 2**64, 10**40, 1.5, "", "F32", "I64", "F99", [], [0, 4], [4, 0], [-1, 3],
    [0, 2**63], [0, 10**40], [[0], 1], {}, {"a": 1}, "\ud800",
)  # fmt: skip
Header = dict[str, Any]


def sample(draw: random.Random) -> tuple[Header, bytes]:
    """Return a valid header and its data."""
    header: Header = {"__metadata__": {"format": "pt"}} if draw.random() < 0.5 else {}
    at = 0
    for number in range(draw.randrange(1, 5)):
        shape = [draw.randrange(4) for _ in range(draw.randrange(4))]
        dtype, size = draw.choice([("F32", 4), ("F64", 8), ("F16", 2), ("U8", 1), ("I64", 8), ("BOOL", 1)])
        end = at + int(np.prod(shape, dtype=np.int64)) * size
        header[f"tensor{number}"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    return header, draw.randbytes(at)


def edit_entry(header: Header, draw: random.Random) -> None:
    entry = header[draw.choice([name for name in header if name != "__metadata__"])]
    entry[draw.choice(["dtype", "shape", "data_offsets", "added"])] = draw.choice(VALUES)


def edit_header(header: Header, draw: random.Random) -> None:
    header[draw.choice(["__metadata__", "tensor0", "added", ""])] = draw.choice(VALUES)


def shift_offsets(header: Header, draw: random.Random) -> None:
    entry = header[draw.choice([name for name in header if name != "__metadata__"])]
    entry["data_offsets"] = [offset + draw.choice([-8, -1, 0, 1, 8]) for offset in entry["data_offsets"]]


def remove_entry(header: Header, draw: random.Random) -> None:
    header.pop(draw.choice([name for name in header if name != "__metadata__"]))


def build_file(seed: int) -> bytes:
    """Return the bytes of a file: valid at first, then with up to two changes."""
    draw = random.Random(seed)
    header, data = sample(draw)
    for _ in range(draw.randrange(2)):
        draw.choice([edit_entry, edit_header, shift_offsets, remove_entry])(header, draw)
    text = json.dumps(header).encode()
    length = len(text)
    kind = draw.randrange(12)
    if kind == 0:
        length = draw.choice([0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1, 100_000_001])
    elif kind == 1:
        text = draw.choice([b"[" * length, b"\xff" * length, b"{}" * (length // 2), b" " * length])[:length]
        length = len(text)
    elif kind == 2:
        data = draw.choice([data[:-1], data + b"x", b""])
    elif kind == 3:
        position = draw.randrange(len(text))
        text = text[:position] + bytes([text[position] ^ (1 << draw.randrange(8))]) + text[position + 1 :]
    elif kind == 4 and header:
        first = next(iter(header))  # the same name twice
        text = b'{"' + first.encode() + b'":' + json.dumps(header[first]).encode() + b"," + text[1:]
        length = len(text)
    return struct.pack("<Q", length) + text + data


@pytest.mark.parametrize("block", range(8))
def test_files_that_the_library_refuses_are_refused_with_a_sentence(block: int, tmp_path: Path) -> None:
    path, accepted = tmp_path / "some.safetensors", 0
    for seed in range(block * CASES // 8, (block + 1) * CASES // 8):
        path.write_bytes(build_file(seed))
        try:
            with safetensors.safe_open(path, "numpy") as library:
                names = set(library.keys())
        except Exception:  # noqa: BLE001 - the library has several classes
            names = None
        try:
            file = TensorFile(path)
        except TensorFileError as error:
            text = str(error)
            assert text.startswith("some.safetensors ") and text.endswith("."), (seed, text)
            assert "\n" not in text and len(text) < 500 and text.isprintable(), (seed, text)
            assert names is None or "occurs twice" in text, (seed, text)
            continue
        accepted += 1
        assert names == set(file.keys()), seed
        _compare_values(path, file)
    assert 5 < accepted < 45, "the generator must make both kinds"


def _compare_values(path: Path, file: TensorFile) -> None:
    for name, values in safetensors.numpy.load_file(path).items():
        if file.dtype(name) in ("F32", "F64", "F16", "U8", "I64"):
            assert np.array_equal(file.read(name), values.astype(np.float32) if file.dtype(name) == "F16" else values,
                                  equal_nan=file.dtype(name) != "U8")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("folder")
    spec = small()
    weights = {name: value.detach().numpy() for name, value in WholeModel(spec).named_parameters()}
    export(write_checkpoint(home, spec, weights), home / "model")
    return home / "model"


def edit_json(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(change(values) or values))

    return edit


def write_index(weight_map: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return write


def rewrite_tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        tensors = safetensors.numpy.load_file(folder / "model.safetensors")
        tensors[name] = np.ascontiguousarray(change(tensors[name]))
        safetensors.numpy.save_file(tensors, folder / "model.safetensors")

    return rewrite


SIZES = ("vocab_size", "n_layer", "n_embd", "n_head", "n_positions", "n_inner")
HOSTILE: list[tuple[Callable[[Path], None], str]] = [
    *[(edit_json("config.json", lambda v, s=size, x=bad: v.update({s: x})), size)
      for size in SIZES for bad in ("12", -1, 0, 2.5, True, [], {}, 10**30)],
    *[(edit_json("config.json", lambda v, s=size: v.pop(s) and v), "") for size in ("vocab_size", "n_layer", "n_embd")],
    (edit_json("config.json", lambda v: v.update(tie_word_embeddings="yes")), "tie_word_embeddings"),
    (edit_json("config.json", lambda v: v.update(vocab_size=300)), "wte.weight is 256 x 32 instead of 300 x 32"),
    (lambda f: (f / "config.json").write_text("[" * 100_000), "config.json cannot be read"),
    (lambda f: (f / "config.json").write_text('{"n_layer": 1, "n_layer": 2}'), "a field occurs twice"),
    (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "config.json cannot be read"),
    (write_index(None), "no usable weight_map"),
    (write_index({"a": 1}), "no usable weight_map"),
    (write_index([]), "no usable weight_map"),
    (write_index({"a": "../model.safetensors"}), "not in the folder"),
    (write_index({"a": "/etc/passwd"}), "not in the folder"),
    (write_index({"a": "config.json"}), "is not a safetensors file"),
    (write_index({"a": "away.safetensors"}), "cannot be read"),
    (write_index({"transformer.wte.weight": "model.safetensors"}), "it has no tensor"),
    (rewrite_tensor("transformer.wte.weight", lambda t: t.T), "is 32 x 256 instead of 256 x 32"),
    (rewrite_tensor("transformer.h.0.attn.c_attn.bias", lambda t: t[:-1]), "c_attn.bias is 95 instead of 96"),
    (rewrite_tensor("transformer.h.1.mlp.c_proj.weight", lambda t: t.astype(np.int64)), "is in 'I64'"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_folder_is_refused_on_its_field_in_one_sentence(
    number: int, folder: Path, tmp_path: Path
) -> None:
    damage, expected = HOSTILE[number]
    shutil.copytree(folder, tmp_path / "copy")
    damage(tmp_path / "copy")
    with pytest.raises(SpecError) as refused:
        open_initial_weights(tmp_path / "copy", "the folder copy")
    (problem,) = refused.value.problems
    assert problem.field == "start_from" and expected in problem.message, problem.message
    assert "\n" not in problem.message and len(problem.message) < 600


def test_the_sound_folder_opens(folder: Path) -> None:
    assert open_initial_weights(folder, "it").origin.vocab_size == 256
