"""What a run may begin its weights with: a checkpoint of any run, or a folder of Hugging Face's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints.folder import MANIFEST, TOKENIZER, ResumeError, read_manifest
from engine.checkpoints.huggingface.read import Folder
from engine.checkpoints.huggingface.shapes import ShapeError
from engine.checkpoints.pieces import WEIGHT, Pieces
from engine.model_math import counts
from engine.spec.parts import Model
from engine.spec.problems import Problem, SpecError
from engine.spec.spec import Spec, parse

Array = np.ndarray[Any, Any]

# Fields of spec.model that decide the shape or the meaning of weights.
SHAPING = (
    "family", "layers", "width", "heads", "ffn_width", "positions", "norm", "feed_forward", "biases", "tied_embeddings",
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """What the weights are of; enough to say whether a spec can begin with them."""

    title: str  # as sentences name it: run x7, step 300
    model: Model
    vocab_size: int
    tokenizer: str
    objective: str = "next_token"

    @classmethod
    def of_spec(cls, title: str, spec: Spec) -> Origin:
        return cls(title, spec.model, spec.vocab_size, spec.data.tokenizer, spec.data.objective)

    def problems(self, spec: Spec) -> Iterator[Problem]:
        """Every reason why `spec` cannot begin with these weights; the fix is what they have."""
        for path, theirs, ours in self._compared(spec):
            if theirs != ours:
                said = f"The weights of {self.title} have {path} {theirs} and not {ours}; they fit no other value."
                yield Problem(path, said, {path: theirs})

    def has_other_head(self, spec: Spec) -> bool:
        """Whether the last layer begins anew, because it says something else: classes instead of tokens, or others."""
        before, now = self.objective == "classes", spec.data.objective == "classes"
        return before != now or (now and self.model.classes != spec.model.classes)

    def _compared(self, spec: Spec) -> Iterator[tuple[str, Any, Any]]:
        theirs, ours = self.model, spec.model
        for name in SHAPING:
            yield f"model.{name}", getattr(theirs, name), getattr(ours, name)
        yield "model.kv_heads", theirs.num_kv_heads, ours.num_kv_heads
        if theirs.family == "encoder-decoder":
            yield "model.encoder_layers", theirs.num_encoder_layers, ours.num_encoder_layers
        if theirs.positions == "learned":
            yield "model.context", theirs.context, ours.context
        yield "data.tokenizer", self.tokenizer, spec.data.tokenizer
        if spec.data.tokenizer == "bpe" == self.tokenizer:
            yield "data.vocab_size", self.vocab_size, spec.data.vocab_size


@dataclass(frozen=True)
class Start:
    """An origin with its weights at hand."""

    origin: Origin
    whole: Callable[[str], Array] = field(repr=False)  # one parameter, by our name, in fp32

    def refuse_misfit(self, spec: Spec) -> None:
        """Raises SpecError with every reason."""
        if problems := list(self.origin.problems(spec)):
            raise SpecError(problems)

    def is_fresh(self, name: str, spec: Spec) -> bool:
        """Whether a parameter keeps the values that it is initialised with."""
        last = len(counts.layer_kinds(spec)) - 1
        return self.origin.has_other_head(spec) and name.startswith(f"{last}.")


def open_start(path: Path, title: str) -> Start:
    """Raises SpecError with the reason at `start_from` where the folder cannot be read."""
    try:
        if (path / MANIFEST).is_file():
            spec = parse(read_manifest(path)["spec"])
            pieces = Pieces(path)
            return Start(Origin.of_spec(title, spec), lambda name: pieces.whole(WEIGHT, name))
        if not path.is_dir():
            raise ShapeError("there is no such folder")
        folder = Folder(path)
        fields: Mapping[str, Any] = folder.fields
        origin = Origin(title, Model(**fields), folder.vocab_size, folder.tokenizer)
        if folder.tokenizer == "bpe":
            _refuse_other_alphabet(path / TOKENIZER)
    except (ShapeError, ResumeError, OSError, ValueError) as error:
        said = f"{title} cannot be started from: {error}".rstrip(".") + "."
        raise SpecError([Problem("start_from", said)]) from None
    return Start(origin, folder.whole)


def _refuse_other_alphabet(path: Path) -> None:
    """Data here is tokenised with byte-level BPEs in GPT-2's order alone, whose ids of unused bytes have a meaning."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ShapeError(f"its {path.name} cannot be read: {error}") from None
    if tokenizer.token_to_id("\u0100") != 188 or tokenizer.token_to_id("\u00ff") != 187:
        raise ShapeError(
            "its tokenizer is no byte-level BPE in GPT-2's order, and text here can be cut by no other"
        )
