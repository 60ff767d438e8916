"""Batches for each training objective, from a spec and prepared data."""

from __future__ import annotations

from typing import Any

from engine.data import paired
from engine.data.augment import TokenDropout
from engine.data.batches import Rows, TrainingBatches, ValidationBatches
from engine.data.documents import build_documents
from engine.data.examples import Examples
from engine.data.masked import MaskedTraining, MaskedValidation
from engine.data.packing import PackedTraining, PackedValidation, WindowTraining, WindowValidation, pack
from engine.data.prepare import PreparedData
from engine.data.sources import TrainingData, ValidationData
from engine.data.special_tokens import NO_TOKEN, SpecialTokens
from engine.spec.fixes import is_accepted
from engine.spec.spec import Problem, Spec, SpecError


def build_training(spec: Spec, prepared: PreparedData) -> TrainingData:
    """Build the training batches of a run."""
    source = _build_batches(spec, prepared)
    if not spec.data.token_dropout:
        return source
    return TokenDropout(
        source,
        spec.data.token_dropout,
        spec.batch.global_batch_size,
        spec.seed,
        prepared.specials,
    )


def build_validation(spec: Spec, prepared: PreparedData) -> ValidationData:
    """Build the validation batches of a run."""
    global_batch, special = spec.batch.global_batch_size, prepared.specials
    if isinstance(prepared.validation, Examples):
        if spec.data.packing:
            documents = build_documents(prepared.validation, spec.model.context, special)
            return PackedValidation(
                documents, spec.model.context, special.end, global_batch, _spread_sequences
            )
        return paired.ExampleValidation(*_build_collate(spec, prepared.validation, special), global_batch)
    batches = ValidationBatches(prepared.validation, spec.model.context, global_batch)
    if spec.data.packing:
        return WindowValidation(batches, special.end, global_batch)
    if spec.data.objective == "masked":
        return MaskedValidation(batches, global_batch, spec.vocab_size, special)
    return batches


def count_sequences(spec: Spec, prepared: PreparedData) -> int:
    """Count the sequences of an epoch."""
    part = prepared.train
    if not isinstance(part, Examples):
        return max(1, (len(part) - spec.model.context) // spec.model.context)
    if not spec.data.packing:
        return len(part)
    documents = build_documents(part, spec.model.context, prepared.specials)
    return len(pack(documents.lengths, spec.model.context))


def refuse_unfit(spec: Spec, prepared: PreparedData) -> None:
    """Raise SpecError if a part is shorter than one sequence, has no example, or has more classes than the model."""
    _refuse_missing_mask(spec, prepared)
    context, known = spec.model.context, prepared.meta.get("classes", ())
    if len(known) > spec.model.classes:
        message = f"The corpus has {len(known):,} classes; model.classes is {spec.model.classes:,}. Raise it."
        raise SpecError([Problem("model.classes", message, {"model.classes": len(known)})])
    for part, held in (("training", prepared.train), ("validation", prepared.validation)):
        if isinstance(held, Examples):
            if len(held) == 0:
                message = (
                    f"The {part} part of the corpus has no example. Add examples or change validation_share."
                )
                raise SpecError([Problem("data.corpus", message)])
        elif len(held) < context + 1:
            fix = _fitting_context(spec, prepared)
            way_out = (
                "Shorten the context or add text." if fix else "Add text: no allowed context is that short."
            )
            message = (
                f"The {part} part of the corpus has {len(held):,} tokens; one sequence of context {context:,} "
                f"needs {context + 1:,}. {way_out}"
            )
            raise SpecError([Problem("model.context", message, fix)])


def _fitting_context(spec: Spec, prepared: PreparedData) -> dict[str, Any]:
    """The longest context that both parts have a sequence of, if the other checks accept it; else nothing."""
    parts = (prepared.train, prepared.validation)
    longest = min(len(part) - 1 for part in parts if not isinstance(part, Examples))
    if longest < 1:
        return {}
    fix: dict[str, Any] = {"model.context": longest}
    return fix if is_accepted(spec, fix) else {}


def _build_batches(spec: Spec, prepared: PreparedData) -> TrainingData:
    global_batch, special = spec.batch.global_batch_size, prepared.specials
    if isinstance(prepared.train, Examples):
        if spec.data.packing:
            documents = build_documents(prepared.train, spec.model.context, special)
            return PackedTraining(documents, spec.model.context, special.end, global_batch, spec.seed)
        return paired.ExampleTraining(*_build_collate(spec, prepared.train, special), global_batch, spec.seed)
    batches = TrainingBatches(prepared.train, spec.model.context, global_batch, spec.seed)
    if spec.data.packing:
        return WindowTraining(batches, special.end, global_batch)
    if spec.data.objective == "masked":
        return MaskedTraining(batches, global_batch, spec.seed, spec.vocab_size, special)
    return batches


def _build_collate(
    spec: Spec, examples: Examples, special: SpecialTokens
) -> tuple[paired.Collate, Rows, int]:
    if spec.data.objective == "classes":
        return paired.build_class_collate(examples, spec.model.context, special)
    if spec.model.family == "encoder-decoder":
        return paired.build_translation_collate(examples, spec.model.context, special)
    documents = build_documents(examples, spec.model.context, special)
    return paired.build_document_collate(documents, spec.model.context, special.end)


def _spread_sequences(count: int) -> list[int]:
    return paired.evenly_spaced(count, paired.VALIDATION_EXAMPLES)


def _refuse_missing_mask(spec: Spec, prepared: PreparedData) -> None:
    """Raise SpecError if the run masks tokens and its tokenizer has no mask token."""
    if prepared.specials.mask != NO_TOKEN:
        return
    message = "The tokenizer has no mask token, which {} needs. {}"
    if spec.data.objective == "masked":
        text = message.format("the objective masked", "Choose another tokenizer or objective.")
        raise SpecError([Problem("data.objective", text)])
    if spec.data.token_dropout:
        text = message.format("token dropout", "Set it to 0.")
        raise SpecError([Problem("data.token_dropout", text, {"data.token_dropout": 0.0})])
