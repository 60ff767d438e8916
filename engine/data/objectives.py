"""Batches for each training objective, from a spec and prepared data."""

from __future__ import annotations

from engine.data import paired
from engine.data.augment import TokenDropout
from engine.data.batches import Rows, TrainingBatches, ValidationBatches
from engine.data.examples import Examples
from engine.data.masked import MaskedTraining, MaskedValidation
from engine.data.prepare import PreparedData
from engine.data.sources import TrainingData, ValidationData
from engine.data.special_tokens import special_tokens
from engine.spec.spec import Problem, Spec, SpecError

LEAST_CONTEXT = 8  # that a spec can have


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
        special_tokens(spec.data.tokenizer),
    )


def build_validation(spec: Spec, prepared: PreparedData) -> ValidationData:
    """Build the validation batches of a run."""
    global_batch, special = spec.batch.global_batch_size, special_tokens(spec.data.tokenizer)
    if isinstance(prepared.validation, Examples):
        return paired.ExampleValidation(*_build_collate(spec, prepared.validation), global_batch)
    batches = ValidationBatches(prepared.validation, spec.model.context, global_batch)
    if spec.data.objective == "masked":
        return MaskedValidation(batches, global_batch, spec.vocab_size, special)
    return batches


def refuse_unfit(spec: Spec, prepared: PreparedData) -> None:
    """Raise SpecError if a part is shorter than one sequence, has no example, or has more classes than the model."""
    context, known = spec.model.context, prepared.meta.get("classes", ())
    if len(known) > spec.model.classes:
        message = f"The corpus has {len(known):,} classes; model.classes is {spec.model.classes:,}. Raise it."
        raise SpecError([Problem("model.classes", message, {"model.classes": len(known)})])
    parts = (("training", prepared.train), ("validation", prepared.validation))
    for part, held in parts:
        if isinstance(held, Examples):
            if len(held) == 0:
                message = (
                    f"The {part} part of the corpus has no example. Add examples or change validation_share."
                )
                raise SpecError([Problem("data.corpus", message)])
        elif len(held) < context + 1:
            raise SpecError([_too_long(context, part, len(held), min(len(every) for _, every in parts))])


def _too_long(context: int, part: str, held: int, least: int) -> Problem:
    """`held`: tokens of the part; `least`: of the shorter part, which the proposed context fits too."""
    message = (
        f"The {part} part of the corpus has {held:,} tokens; one sequence of context {context:,} "
        f"needs {context + 1:,}."
    )
    if least <= LEAST_CONTEXT:
        return Problem("data.corpus", f"{message} Add text, or change validation_share.")
    return Problem(
        "model.context", f"{message} Shorten the context or add text.", {"model.context": least - 1}
    )


def _build_batches(spec: Spec, prepared: PreparedData) -> TrainingData:
    global_batch, special = spec.batch.global_batch_size, special_tokens(spec.data.tokenizer)
    if isinstance(prepared.train, Examples):
        return paired.ExampleTraining(*_build_collate(spec, prepared.train), global_batch, spec.seed)
    batches = TrainingBatches(prepared.train, spec.model.context, global_batch, spec.seed)
    if spec.data.objective == "masked":
        return MaskedTraining(batches, global_batch, spec.seed, spec.vocab_size, special)
    return batches


def _build_collate(spec: Spec, examples: Examples) -> tuple[paired.Collate, Rows, int]:
    special = special_tokens(spec.data.tokenizer)
    if spec.data.objective == "classes":
        return paired.build_class_collate(examples, spec.model.context, special)
    if spec.model.family == "encoder-decoder":
        return paired.build_translation_collate(examples, spec.model.context, special)
    return paired.build_continuation_collate(examples, spec.model.context, special)
