"""From a spec and prepared data to batches: which objective reads what, and how."""

from __future__ import annotations

from engine.data import paired
from engine.data.augment import TokenDropout
from engine.data.batches import Rows, TrainingBatches, ValidationBatches
from engine.data.examples import Examples
from engine.data.masked import MaskedTraining, MaskedValidation
from engine.data.prepare import Prepared
from engine.data.sources import Training, Validation
from engine.data.specials import specials
from engine.spec.spec import Problem, Spec, SpecError


def training(spec: Spec, prepared: Prepared) -> Training:
    """The batches a run trains on."""
    source = _training(spec, prepared)
    if not spec.data.token_dropout:
        return source
    return TokenDropout(
        source,
        spec.data.token_dropout,
        spec.batch.global_batch_size,
        spec.seed,
        specials(spec.data.tokenizer),
    )


def validation(spec: Spec, prepared: Prepared) -> Validation:
    """The batches it is judged on."""
    global_batch, special = spec.batch.global_batch_size, specials(spec.data.tokenizer)
    if isinstance(prepared.validation, Examples):
        return paired.ExampleValidation(*_collate(spec, prepared.validation), global_batch)
    batches = ValidationBatches(prepared.validation, spec.model.context, global_batch)
    if spec.data.objective == "masked":
        return MaskedValidation(batches, global_batch, spec.vocab_size, special)
    return batches


def refuse_unfit(spec: Spec, prepared: Prepared) -> None:
    """Raise SpecError if either part holds less than one sequence or no example, or more classes than the model."""
    context, known = spec.model.context, prepared.meta.get("classes", ())
    if len(known) > spec.model.classes:
        message = f"The corpus has {len(known):,} classes; the model tells {spec.model.classes:,} apart."
        raise SpecError([Problem("model.classes", message, {"model.classes": len(known)})])
    for part, held in (("training", prepared.train), ("validation", prepared.validation)):
        if isinstance(held, Examples):
            if len(held) == 0:
                message = (
                    f"The {part} part of the corpus has no example. Give more, or hold out another share."
                )
                raise SpecError([Problem("data.corpus", message)])
        elif len(held) < context + 1:
            message = (
                f"The {part} part of the corpus has {len(held):,} tokens; one sequence of context {context:,} "
                f"needs {context + 1:,}. Shorten the context or give more text."
            )
            raise SpecError([Problem("model.context", message, {"model.context": max(8, len(held) - 1)})])


def _training(spec: Spec, prepared: Prepared) -> Training:
    global_batch, special = spec.batch.global_batch_size, specials(spec.data.tokenizer)
    if isinstance(prepared.train, Examples):
        return paired.ExampleTraining(*_collate(spec, prepared.train), global_batch, spec.seed)
    batches = TrainingBatches(prepared.train, spec.model.context, global_batch, spec.seed)
    if spec.data.objective == "masked":
        return MaskedTraining(batches, global_batch, spec.seed, spec.vocab_size, special)
    return batches


def _collate(spec: Spec, examples: Examples) -> tuple[paired.Collate, Rows, int]:
    special = specials(spec.data.tokenizer)
    if spec.data.objective == "classes":
        return paired.classes(examples, spec.model.context, special)
    if spec.model.family == "encoder-decoder":
        return paired.translations(examples, spec.model.context, special)
    return paired.continuations(examples, spec.model.context, special)
