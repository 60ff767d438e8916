"""Export of a checkpoint to a folder that `transformers` loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints import tensors
from engine.checkpoints.adapters import adapters_of_checkpoint
from engine.checkpoints.folder import TOKENIZER
from engine.checkpoints.huggingface.architectures import ArchitectureError, Family, find_family
from engine.checkpoints.huggingface.peft import write_adapters
from engine.checkpoints.initial_weights import open_weights
from engine.checkpoints.soundness import open_checkpoint
from engine.data.pretrained import PretrainedTokenizer
from engine.data.special_tokens import SpecialTokens, special_tokens
from engine.data.tokenizer_files import find_files
from engine.spec.spec import Spec, parse

Array = np.ndarray[Any, Any]


def check_exportable(spec: Spec) -> Family:
    """Return the family of the export. Raises ArchitectureError if the model cannot be exported."""
    return find_family(spec.model)


def export(checkpoint: Path, folder: Path, family: Family | None = None) -> Family:
    """Write config, tokenizer and fp32 weights of a checkpoint into an empty or new folder; `family`: None for the
    first that describes the model. Adapters are merged.

    Verifies the checkpoint first. Raises ArchitectureError, ResumeError (damaged checkpoint), OSError.
    """
    opened = open_checkpoint(checkpoint)
    opened.verify()
    spec = parse(opened.manifest["spec"])
    family = family or check_exportable(spec)
    whole = open_weights(opened, checkpoint.name).whole
    folder.mkdir(parents=True, exist_ok=True)
    config = _build_config(family, spec, _special_tokens(checkpoint, spec))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    _write_tokenizer(checkpoint, folder, spec)
    exported = _ExportedTensors(family, spec, whole)
    tensors.write_tensors(folder / "model.safetensors", exported, {"format": "pt"})
    return family


def export_adapters(checkpoint: Path, folder: Path) -> Family:
    """Write the adapters of a checkpoint alone, in peft's format, into an empty or new folder.

    Verifies the checkpoint first; its base need not be there. Raises ArchitectureError, ResumeError, OSError.
    """
    opened = open_checkpoint(checkpoint)
    opened.verify()
    spec = parse(opened.manifest["spec"])
    if not spec.adapter.is_on:
        raise ArchitectureError(
            f"The checkpoint {checkpoint.name} has no adapters: its run trained all weights."
        )
    family = check_exportable(spec)
    base = str(opened.manifest.get("base", {}).get("path", ""))
    adapters = adapters_of_checkpoint(spec, opened.shards)
    write_adapters(adapters, spec, family, folder, base)
    _write_tokenizer(checkpoint, folder, spec)
    return family


class _ExportedTensors(Mapping[str, Array]):
    """The exported tensors by their Hugging Face name, each built on request: the model is never in memory twice."""

    def __init__(self, family: Family, spec: Spec, whole: Callable[[str], Array]) -> None:
        self._whole = whole
        self._mappings = {
            hf_name: (mapping, index)
            for mapping in family.mappings(spec.model, spec.vocab_size)
            for index, hf_name in enumerate(mapping.hf_names)
        }

    def __getitem__(self, name: str) -> Array:
        mapping, index = self._mappings[name]
        return mapping.to_hf([self._whole(one) for one in mapping.names], index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._mappings)

    def __len__(self) -> int:
        return len(self._mappings)


def _special_tokens(checkpoint: Path, spec: Spec) -> SpecialTokens:
    kind = spec.data.tokenizer
    return PretrainedTokenizer.load(checkpoint).specials if kind == "pretrained" else special_tokens(kind)


def _build_config(family: Family, spec: Spec, special: SpecialTokens) -> dict[str, Any]:
    common = {
        "architectures": [family.class_name], "model_type": family.model_type, "torch_dtype": "float32",
        "tie_word_embeddings": spec.model.tied_embeddings, "bos_token_id": special.end,
        "eos_token_id": special.end, "vocab_size": spec.vocab_size,
    }  # fmt: skip
    if spec.model.family == "encoder-decoder":
        common["decoder_start_token_id"] = special.begin
    return common | family.write(spec.model)


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
