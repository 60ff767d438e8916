"""Initial weights of a run: from a checkpoint or a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints.folder import MANIFEST, TOKENIZER, ResumeError
from engine.checkpoints.huggingface.architectures import ArchitectureError
from engine.checkpoints.huggingface.read import HuggingFaceFolder
from engine.checkpoints.sharded_checkpoint import WEIGHT
from engine.checkpoints.soundness import open_checkpoint
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
        yield "data.tokenizer", self.tokenizer, spec.data.tokenizer
        if spec.data.tokenizer == "bpe" == self.tokenizer:
            yield "data.vocab_size", self.vocab_size, spec.data.vocab_size


@dataclass(frozen=True)
class InitialWeights:
    """An origin with access to its weights."""

    origin: WeightsOrigin
    whole: Callable[[str], Array] = field(repr=False)  # returns one parameter by its name here, in fp32

    def refuse_misfit(self, spec: Spec) -> None:
        """Raise SpecError with every reason why the spec cannot start from these weights."""
        if problems := list(self.origin.problems(spec)):
            raise SpecError(problems)

    def keeps_initial_values(self, name: str, spec: Spec) -> bool:
        """Whether a parameter keeps its random initial values."""
        last = len(counts.layer_kinds(spec)) - 1
        return self.origin.has_other_head(spec) and name.startswith(f"{last}.")


def open_initial_weights(path: Path, title: str) -> InitialWeights:
    """Open a checkpoint or a Hugging Face folder. Raises SpecError on field start_from with the reason."""
    try:
        if (path / MANIFEST).is_file():
            checkpoint = open_checkpoint(path)
            spec, shards = parse(checkpoint.manifest["spec"]), checkpoint.shards
            return InitialWeights(
                WeightsOrigin.from_spec(title, spec), lambda name: shards.whole(WEIGHT, name)
            )
        if not path.is_dir():
            raise ArchitectureError("the folder does not exist")
        folder = HuggingFaceFolder(path)
        fields: Mapping[str, Any] = folder.fields
        origin = WeightsOrigin(title, Model(**fields), folder.vocab_size, folder.tokenizer)
        if folder.tokenizer == "bpe":
            _check_alphabet(path / TOKENIZER)
    except (ArchitectureError, ResumeError, OSError, ValueError) as error:
        message = f"A run cannot start from {title}: {error}".rstrip(".") + "."
        raise SpecError([Problem("start_from", message)]) from None
    return InitialWeights(origin, folder.whole)


def _check_alphabet(path: Path) -> None:
    """Raise ArchitectureError unless the tokenizer is a byte-level BPE in GPT-2's order.

    Prepared data uses no other kind, since the special tokens are ids of unused bytes in this order.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ArchitectureError(f"its {path.name} cannot be read: {error}") from None
    if tokenizer.token_to_id("\u0100") != 188 or tokenizer.token_to_id("\u00ff") != 187:
        raise ArchitectureError(
            "its tokenizer is not a byte-level BPE in GPT-2's order, the only supported kind"
        )
