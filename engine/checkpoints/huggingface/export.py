"""From a checkpoint to a folder that `transformers` loads: config.json, tokenizer files, model.safetensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints import tensors
from engine.checkpoints.folder import TOKENIZER, read_manifest
from engine.checkpoints.huggingface.shapes import Shape, shape_of
from engine.checkpoints.pieces import WEIGHT, Pieces
from engine.data.special_tokens import special_tokens
from engine.spec.spec import Spec, parse

Array = np.ndarray[Any, Any]


def refuse_unfit(spec: Spec) -> Shape:
    """The shape that a run's model would be exported in. Raises ShapeError."""
    return shape_of(spec.model)


def export(checkpoint: Path, folder: Path) -> Shape:
    """Write the checkpoint's weights, in fp32, into an empty or new folder.
    Raises ShapeError, ResumeError (an incomplete checkpoint), OSError."""
    spec = parse(read_manifest(checkpoint)["spec"])
    shape = refuse_unfit(spec)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_config(shape, spec), indent=1))
    _write_tokenizer(checkpoint, folder, spec)
    tensors.write(folder / "model.safetensors", _Theirs(shape, spec, Pieces(checkpoint)), {"format": "pt"})
    return shape


class _Theirs(Mapping[str, Array]):
    """Their tensors, each made when it is asked for: a model need not fit into memory twice."""

    def __init__(self, shape: Shape, spec: Spec, pieces: Pieces) -> None:
        model = spec.model
        self._pieces = pieces
        self._entries = {theirs: (e, i) for e in shape.entries(model) for i, theirs in enumerate(e.theirs)}
        keys = model.width // model.heads * model.num_kv_heads
        self._sections = np.cumsum([model.width, keys])

    def __getitem__(self, name: str) -> Array:
        entry, part = self._entries[name]
        whole = self._pieces.whole(WEIGHT, entry.ours)
        if len(entry.theirs) > 1:
            whole = np.split(whole, self._sections)[part]
        return np.ascontiguousarray(whole.T if entry.is_transposed else whole)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _config(shape: Shape, spec: Spec) -> dict[str, Any]:
    end = special_tokens(spec.data.tokenizer).end
    common = {
        "architectures": [shape.architecture], "model_type": shape.model_type, "torch_dtype": "float32",
        "tie_word_embeddings": spec.model.tied_embeddings, "bos_token_id": end, "eos_token_id": end,
    }  # fmt: skip
    return common | shape.config(spec.model, spec.vocab_size)


def _write_tokenizer(checkpoint: Path, folder: Path, spec: Spec) -> None:
    if spec.data.tokenizer == "bpe":
        shutil.copyfile(checkpoint / TOKENIZER, folder / TOKENIZER)
    else:
        _bytes_tokenizer().save(str(folder / TOKENIZER))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": spec.model.context,
        "clean_up_tokenization_spaces": False, "fourwalls_tokenizer": spec.data.tokenizer,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


def _bytes_tokenizer() -> Any:
    """Bytes as a BPE without merges: token b is the byte b, written with the sign that byte-level BPEs have for it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}  # GPT-2's bytes_to_unicode
    others = [byte for byte in range(256) if byte not in printable]
    vocabulary = {chr(byte if byte in printable else 0x100 + others.index(byte)): byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
