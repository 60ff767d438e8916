"""Export of a checkpoint to a folder that `transformers` loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints import tensors
from engine.checkpoints.folder import TOKENIZER
from engine.checkpoints.huggingface.architectures import Architecture, find_architecture
from engine.checkpoints.sharded_checkpoint import WEIGHT, ShardedCheckpoint
from engine.checkpoints.soundness import open_checkpoint
from engine.data.pretrained import PretrainedTokenizer
from engine.data.special_tokens import SpecialTokens, special_tokens
from engine.data.tokenizer_files import find_files
from engine.spec.spec import Spec, parse

Array = np.ndarray[Any, Any]


def check_exportable(spec: Spec) -> Architecture:
    """Return the architecture of the export. Raises ArchitectureError if the model cannot be exported."""
    return find_architecture(spec.model)


def export(checkpoint: Path, folder: Path) -> Architecture:
    """Write config, tokenizer and fp32 weights of a checkpoint into an empty or new folder.

    Verifies the checkpoint first. Raises ArchitectureError, ResumeError (damaged checkpoint), OSError.
    """
    opened = open_checkpoint(checkpoint)
    opened.verify()
    spec = parse(opened.manifest["spec"])
    architecture = check_exportable(spec)
    folder.mkdir(parents=True, exist_ok=True)
    config = _build_config(architecture, spec, _special_tokens(checkpoint, spec))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    _write_tokenizer(checkpoint, folder, spec)
    exported = _ExportedTensors(architecture, spec, opened.shards)
    tensors.write_tensors(folder / "model.safetensors", exported, {"format": "pt"})
    return architecture


class _ExportedTensors(Mapping[str, Array]):
    """The exported tensors by their Hugging Face name, each built on request: the model is never in memory twice."""

    def __init__(self, architecture: Architecture, spec: Spec, sharded: ShardedCheckpoint) -> None:
        model = spec.model
        self._sharded = sharded
        self._mappings = {
            hf_name: (mapping, index)
            for mapping in architecture.mappings(model)
            for index, hf_name in enumerate(mapping.hf_names)
        }
        keys = model.width // model.heads * model.num_kv_heads
        self._sections = np.cumsum([model.width, keys])

    def __getitem__(self, name: str) -> Array:
        mapping, part = self._mappings[name]
        whole = self._sharded.whole(WEIGHT, mapping.name)
        if len(mapping.hf_names) > 1:
            whole = np.split(whole, self._sections)[part]
        return np.ascontiguousarray(whole.T if mapping.is_transposed else whole)

    def __iter__(self) -> Iterator[str]:
        return iter(self._mappings)

    def __len__(self) -> int:
        return len(self._mappings)


def _special_tokens(checkpoint: Path, spec: Spec) -> SpecialTokens:
    kind = spec.data.tokenizer
    return PretrainedTokenizer.load(checkpoint).specials if kind == "pretrained" else special_tokens(kind)


def _build_config(architecture: Architecture, spec: Spec, special: SpecialTokens) -> dict[str, Any]:
    end = special.end
    common = {
        "architectures": [architecture.class_name], "model_type": architecture.model_type, "torch_dtype": "float32",
        "tie_word_embeddings": spec.model.tied_embeddings, "bos_token_id": end, "eos_token_id": end,
    }  # fmt: skip
    return common | architecture.config(spec.model, spec.vocab_size)


def _write_tokenizer(checkpoint: Path, folder: Path, spec: Spec) -> None:
    if spec.data.tokenizer == "pretrained":  # as it was published, with its special tokens and chat template
        find_files(checkpoint).copy_to(folder)
        return
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
    """Build a BPE without merges whose token b is the byte b, written as the character of byte-level BPEs for it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}  # GPT-2's bytes_to_unicode
    others = [byte for byte in range(256) if byte not in printable]
    vocabulary = {chr(byte if byte in printable else 0x100 + others.index(byte)): byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
