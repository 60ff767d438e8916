"""Initial weights of a run: from a checkpoint or a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints.adapters import AdapterSet, adapters_of_checkpoint, parse_parameter
from engine.checkpoints.folder import MANIFEST, ResumeError
from engine.checkpoints.huggingface import peft
from engine.checkpoints.huggingface.architectures import ArchitectureError, find_family
from engine.checkpoints.huggingface.read import HuggingFaceFolder
from engine.checkpoints.sharded_checkpoint import WEIGHT
from engine.checkpoints.soundness import OpenCheckpoint, open_checkpoint
from engine.data.pretrained import PretrainedTokenizer
from engine.data.tokenizer_files import find_files
from engine.model_math import counts
from engine.spec.model import SCALING_FIELDS, Model
from engine.spec.problems import Problem, SpecError
from engine.spec.spec import Spec, parse

Array = np.ndarray[Any, Any]


# Fields of spec.model that only the language model head reads.
HEAD_FIELDS = ("tied_embeddings", "head_transform", "logit_scale", "logit_softcap")


@dataclass(frozen=True)
class WeightsOrigin:
    """Model, vocabulary and tokenizer of the weights, which decide whether a spec can start from them."""

    title: str  # name in messages: run x7, step 300
    model: Model
    vocab_size: int
    tokenizer: str
    objective: str = "next_token"

    @classmethod
    def from_spec(cls, title: str, spec: Spec) -> WeightsOrigin:
        return cls(title, spec.model, spec.vocab_size, spec.data.tokenizer, spec.data.objective)

    def problems(self, spec: Spec) -> Iterator[Problem]:
        """Yield every reason why `spec` cannot start from these weights; the fix sets the value of the weights."""
        for path, saved, wanted in self._compare(spec):
            if saved != wanted:
                message = (
                    f"The weights of {self.title} have {path} {saved}; the spec has {wanted}. Use {saved}."
                )
                yield Problem(path, message, {path: saved})

    def has_other_head(self, spec: Spec) -> bool:
        """Whether the last layer is new: the weights predict tokens and the spec classes, or other classes."""
        before, now = self.objective == "classes", spec.data.objective == "classes"
        return before != now or (now and self.model.classes != spec.model.classes)

    def _free_fields(self, spec: Spec) -> set[str]:
        """Fields of the model that may differ: those of a head that is new, and a scaling that extends the context."""
        free = set(HEAD_FIELDS) if self.has_other_head(spec) else set()
        if self.model.rope_scaling == "none":
            free |= {"rope_scaling"}.union(*SCALING_FIELDS.values())
        return free

    def _compare(self, spec: Spec) -> Iterator[tuple[str, Any, Any]]:
        saved, wanted = self.model.identity(), spec.model.identity()
        free = self._free_fields(spec)
        for name, value in saved.items():
            if name not in free:
                yield f"model.{name}", value, wanted[name]
        # A tokenizer in GPT-2's order can also be used as it was published, with its own special tokens.
        if (self.tokenizer, spec.data.tokenizer) != ("bpe", "pretrained"):
            yield "data.tokenizer", self.tokenizer, spec.data.tokenizer
        if "bytes" not in (spec.data.tokenizer, self.tokenizer):
            yield "data.vocab_size", self.vocab_size, spec.data.vocab_size


@dataclass(frozen=True)
class InitialWeights:
    """An origin with access to its weights."""

    origin: WeightsOrigin
    whole: Callable[[str], Array] = field(repr=False)  # returns one parameter by its name here, in fp32
    folder: Path | None = None
    base: InitialWeights | None = None  # of adapters, which `whole` merges into it
    adapters: AdapterSet | None = field(default=None, repr=False)

    def refuse_misfit(self, spec: Spec) -> None:
        """Raise SpecError with every reason why the spec cannot start from these weights."""
        if problems := list(self.origin.problems(spec)):
            raise SpecError(problems)

    def keeps_initial_values(self, name: str, spec: Spec) -> bool:
        """Whether a parameter keeps its initial values."""
        if parse_parameter(name):
            return not self.continues_adapters(spec)
        last = len(counts.layer_kinds(spec)) - 1
        return self.origin.has_other_head(spec) and name.startswith(f"{last}.")

    def continues_adapters(self, spec: Spec) -> bool:
        """Whether the spec's adapters go on from these; else these are merged into the frozen weights."""
        return self.adapters is not None and spec.adapter.is_on and self.adapters.continues_in(spec)

    def frozen_under(self, spec: Spec) -> InitialWeights:
        """Return the weights that stay frozen beside the spec's adapters."""
        if self.base is not None and self.continues_adapters(spec):
            return self.base
        return self

    def parameter(self, name: str) -> Array:
        """Return a trainable parameter: one of an adapter, or a whole weight."""
        if self.adapters is not None and parse_parameter(name):
            return self.adapters.parameter(name)
        return self.whole(name)


def open_initial_weights(path: Path, title: str) -> InitialWeights:
    """Open a checkpoint or a Hugging Face folder. Raises SpecError on field start_from with the reason."""
    try:
        if (path / MANIFEST).is_file():
            return open_weights(open_checkpoint(path), title)
        if not path.is_dir():
            raise ArchitectureError("the folder does not exist")
        if (path / peft.CONFIG).is_file():
            return _open_peft(path, title)
        folder = HuggingFaceFolder(path)
        fields: Mapping[str, Any] = folder.fields
        tokenizer = (
            "pretrained" if folder.tokenizer == "bpe" and not _has_byte_order(path) else folder.tokenizer
        )
        origin = WeightsOrigin(title, Model(**fields), folder.vocab_size, tokenizer)
    except (ArchitectureError, ResumeError, OSError, ValueError) as error:
        message = f"A run cannot start from {title}: {error}".rstrip(".") + "."
        raise SpecError([Problem("start_from", message)]) from None
    return InitialWeights(origin, folder.whole, path)


def open_weights(checkpoint: OpenCheckpoint, title: str) -> InitialWeights:
    """Return the weights of a checkpoint; those of one with adapters alone are merged into its base.

    Raises SpecError, ResumeError if the base is gone.
    """
    spec, shards, path = parse(checkpoint.manifest["spec"]), checkpoint.shards, checkpoint.path

    def whole(name: str) -> Array:
        return shards.whole(WEIGHT, name)

    origin = WeightsOrigin.from_spec(title, spec)
    if not spec.adapter.is_on:
        return InitialWeights(origin, whole, path)
    base, adapters = open_base(checkpoint), adapters_of_checkpoint(spec, shards)

    def whole_or_base(name: str) -> Array:
        return whole(name) if name in shards.parameters else base.frozen_under(spec).whole(name)

    return InitialWeights(origin, adapters.merge_into(whole_or_base), path, base.frozen_under(spec), adapters)


def open_base(checkpoint: OpenCheckpoint) -> InitialWeights:
    """Open the frozen weights that a checkpoint of adapters names. Raises ResumeError."""
    reference = checkpoint.manifest.get("base") or {}
    path = Path(str(reference.get("path", "")))
    if not reference or not path.is_dir():
        raise ResumeError(
            f"The checkpoint {checkpoint.path.name} holds adapters alone, and the weights beside which they were "
            f"trained ({reference.get('title') or 'not named'}) are not in {path} any more."
        )
    try:
        return open_initial_weights(path, str(reference["title"]))
    except SpecError as error:
        raise ResumeError(str(error.problems[0].message)) from None


def _open_peft(path: Path, title: str) -> InitialWeights:
    """Open a folder that peft saved. Its base is a folder beside it. Raises ArchitectureError, SpecError."""
    found = peft.PeftFolder(path)
    base = open_initial_weights(found.find_base(), f"{found.base_name}, the base of {title}")
    origin = replace(base.origin, title=title)
    adapters = found.adapters(find_family(base.origin.model), base.origin.model, base.origin.vocab_size)
    return InitialWeights(origin, adapters.merge_into(base.whole), path, base, adapters)


def _has_byte_order(path: Path) -> bool:
    """Whether the tokenizer of a folder is a byte-level BPE in GPT-2's order, whose unused bytes serve as special
    tokens; any other is used as published. Raises ArchitectureError if it cannot be read."""
    from tokenizers import Tokenizer

    try:
        files = find_files(path)
        if not files.is_sentencepiece:
            tokenizer = Tokenizer.from_file(str(files.vocabulary))
            if tokenizer.token_to_id("\u0100") == 188 and tokenizer.token_to_id("\u00ff") == 187:
                return True
        PretrainedTokenizer(files)
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ArchitectureError(f"its tokenizer cannot be used: {error}") from None
    return False
