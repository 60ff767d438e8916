"""Evaluation at each validation: loss, accuracy, perplexity, text scores, samples."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from deepspeed import comm
from torch import distributed

from engine import scores
from engine.data import baselines, objectives
from engine.data.examples import Examples
from engine.data.packing import PackedInputs
from engine.data.paired import TokenIds, evenly_spaced, prompt_ids, source_ids
from engine.data.special_tokens import IGNORED
from engine.data.tokenizers import load_tokenizer
from engine.rank.run import generate
from engine.rank.run.session import TrainingSession
from engine.spec.spec import Spec
from engine.telemetry.heartbeat import Stage

SCORED_PAIRS = 64  # held-out pairs whose outputs are generated and scored at each validation
SHOWN_EXAMPLES = 4  # examples that are recorded with their output
DECODE_BATCH_SIZE = 16
OUTPUT_TOKENS_LIMIT = 128
GENERATION_LIMIT_S = 20.0  # per validation; later outputs are not generated or scored
CONTINUATION_TOKENS = 48  # tokens that a language model generates after a held-out prompt


def missing_text_scores(spec: Spec) -> dict[str, tuple[str, str]]:
    """Return metric -> (status, reason) for text metrics that the run cannot measure."""
    if spec.data.objective != "pairs" or spec.parallel.stages == 1:
        return {}
    reason = "text generation needs the whole model on each rank; here each rank holds one pipeline stage"
    return dict.fromkeys(scores.TEXT_METRICS, ("unsupported", reason))


@dataclass(frozen=True)
class SampleOutput:
    """A held-out example with its prompt, the expected output and the output of the model."""

    prompt: str
    reference: str
    output: str


class Evaluation:
    """Evaluates the model of a session on a fixed set of held-out examples."""

    def __init__(self, session: TrainingSession) -> None:
        self._session, self._spec = session, session.spec
        self._held_out = objectives.build_validation(session.spec, session.tokens)
        self._tokenizer = load_tokenizer(session.tokens.folder, session.spec.data.tokenizer)
        self._is_text_scored = session.spec.data.objective == "pairs" and session.spec.parallel.stages == 1
        self._has_recorded_notes = False

    def run(self, done: int, training_loss: float | None) -> dict[str, float]:
        """Evaluate after step `done`, record the results and return the metrics. Collective."""
        session, start = self._session, time.perf_counter()
        session.heartbeat.beat(done, Stage.LONG)
        loss, accuracy = self._loss_and_accuracy()
        metrics = {"validation_loss": loss} | self._derive_metrics(loss, accuracy)
        if training_loss is not None and not self._spec.optimiser.label_smoothing:
            metrics["loss_gap"] = loss - training_loss
        session.clock.lap("validation")
        shown: list[SampleOutput] = []
        if self._is_text_scored:
            found, shown = self._generate_and_score(done)
            metrics |= found
        elif self._spec.parallel.stages == 1:
            shown = self._sample_outputs()
        session.clock.lap("outputs")
        if session.recorder.rank == 0:
            session.recorder.validation(done, metrics | {"validation_s": time.perf_counter() - start})
            session.recorder.outputs(done, shown)
        session.progress_log.info("step %d  validation loss %.4f", done, loss)
        self._record_baselines()
        session.clock.lap("validation")
        return metrics

    def _loss_and_accuracy(self) -> tuple[float, float | None]:
        """Return the mean held-out loss and the share of targets with the highest logit."""
        loss_share = self._session.trainer.validate(self._held_out)
        num_correct, num_targets = self._session.trainer.token_accuracy_counts()
        sums = torch.tensor([0.0, num_correct, num_targets], dtype=torch.float64, device=loss_share.device)
        sums[0] = loss_share
        comm.all_reduce(sums)
        loss, num_correct, num_targets = sums.tolist()
        return loss, num_correct / num_targets if num_targets else None

    def _derive_metrics(self, loss: float, accuracy: float | None) -> dict[str, float]:
        objective, meta = self._spec.data.objective, self._session.tokens.meta
        found = {}
        if accuracy is not None:
            found["accuracy_share" if objective == "classes" else "token_accuracy_share"] = accuracy
        if objective != "classes":
            found["perplexity"] = math.exp(min(loss, 700.0))
        if objective in ("next_token", "pairs", "chat"):
            found["bits_per_byte"] = baselines.bits_per_byte(
                loss, meta["validation_tokens"], meta["validation_bytes"]
            )
        return found

    @torch.no_grad()
    def _generate_and_score(self, done: int) -> tuple[dict[str, float], list[SampleOutput]]:
        """Generate outputs for a fixed set of held-out pairs, divided over the data ranks, and score them on rank 0."""
        part, data = self._session.tokens.validation, self._spec.parallel.data
        assert isinstance(part, Examples)
        chosen = evenly_spaced(len(part), SCORED_PAIRS)
        rounds, began = -(-len(chosen) // (DECODE_BATCH_SIZE * data)), time.monotonic()
        generated: dict[int, str] = {}
        for round_number in range(rounds):
            if round_number and self._is_time_over(began):
                break
            self._session.heartbeat.beat(done, Stage.LONG)
            first = (round_number * data + self._session.seat.data_rank) * DECODE_BATCH_SIZE
            # A rank without examples decodes the last one again, since every forward pass may be a collective.
            own = chosen[first : first + DECODE_BATCH_SIZE] or chosen[-1:]
            outputs = self._generate_batch(part, own)
            generated |= {n: self._tokenizer.decode(out) for n, out in zip(own, outputs, strict=True)}
        for of_rank in _gather_from_all_ranks(generated):
            generated |= of_rank
        if self._session.recorder.rank:
            return {}, []
        outputs = [self._build_sample(part, number, generated[number]) for number in sorted(generated)]
        return self._score(outputs, len(chosen), done), outputs[:SHOWN_EXAMPLES]

    def _generate_batch(self, part: Examples, numbers: list[int]) -> list[TokenIds]:
        engine, context, special = self._session.engine, self._spec.model.context, self._tokenizer.specials
        assert part.targets is not None
        if self._spec.model.family == "encoder-decoder":
            longest = max(len(part.targets[number]) for number in numbers)
            sources = [source_ids(part.sources[number], context, special) for number in numbers]
            limit = _output_token_limit(longest, context)
            return generate.generate_answers(engine, sources, limit, special, self._session.device)
        prompts = [
            prompt_ids(part.sources[number], len(part.targets[number]) + 1, context, special)
            for number in numbers
        ]
        remaining = context - max(len(prompt) for prompt in prompts) + 1
        limit = min(remaining, OUTPUT_TOKENS_LIMIT)
        return generate.generate_continuations(engine, prompts, limit, special, self._session.device)

    def _score(self, outputs: list[SampleOutput], wanted: int, done: int) -> dict[str, float]:
        if len(outputs) < wanted:
            self._session.recorder.note(
                f"At step {done}, {len(outputs)} of {wanted} held-out pairs were scored within the limit of "
                f"{GENERATION_LIMIT_S:.0f} s.",
                step=done,
            )
        try:
            found, signature = scores.compute_scores(
                [one.output for one in outputs], [one.reference for one in outputs]
            )
        except ImportError as error:
            if not self._has_recorded_notes:
                self._session.recorder.note(f"Outputs are not scored: install {error.name}.", "warning")
            return {}
        if not self._has_recorded_notes:
            self._session.recorder.note(f"BLEU by sacrebleu, {signature}; ROUGE by rouge-score, F-measure.")
        return found

    def _build_sample(self, part: Examples, number: int, output: str) -> SampleOutput:
        assert part.targets is not None
        decode = self._tokenizer.decode
        return SampleOutput(decode(part.sources[number]), decode(part.targets[number]), output)

    def _sample_outputs(self) -> list[SampleOutput]:
        """Return a few held-out examples of objectives without text scores, on every rank."""
        kinds: dict[str, Callable[[], Iterator[SampleOutput]]] = {
            "next_token": self._continuation_samples, "masked": self._masked_samples, "classes": self._class_samples,
            "chat": self._chat_samples,
        }  # fmt: skip
        with torch.no_grad():
            return list(kinds[self._spec.data.objective]())

    def _continuation_samples(self) -> Iterator[SampleOutput]:
        found, targets = self._held_out.rows(0, 0, min(SHOWN_EXAMPLES, self._spec.batch.global_batch_size))
        ids = found.ids if isinstance(found, PackedInputs) else found
        half = self._spec.model.context // 2
        limit = min(CONTINUATION_TOKENS, self._spec.model.context - half)
        outputs = generate.generate_continuations(
            self._session.engine, list(ids[:, :half]), limit, self._tokenizer.specials, self._session.device
        )
        for row, output in enumerate(outputs):
            if targets[row, 0] != IGNORED:
                decode = self._tokenizer.decode
                yield SampleOutput(
                    decode(ids[row, :half]), decode(ids[row, half : half + limit]), decode(output)
                )

    def _chat_samples(self) -> Iterator[SampleOutput]:
        """Yield chats up to their first answer, with that answer and the model's."""
        part, context = self._session.tokens.validation, self._spec.model.context
        assert isinstance(part, Examples) and part.trained is not None
        prompts, references = [], []
        for number in evenly_spaced(len(part), SHOWN_EXAMPLES):
            ids, trained = np.asarray(part.sources[number], np.int64), np.asarray(part.trained[number], bool)
            first = int(trained.argmax())
            length = int((~trained[first:]).argmax()) or len(ids) - first
            prompts.append(ids[max(0, first + 1 - context) : first] if first else ids[:1])
            references.append(ids[first : first + length])
        room = context - max(len(prompt) for prompt in prompts) + 1
        outputs = generate.generate_continuations(
            self._session.engine,
            prompts,
            min(room, CONTINUATION_TOKENS),
            self._tokenizer.specials,
            self._session.device,
        )
        decode = self._tokenizer.decode
        for prompt, reference, output in zip(prompts, references, outputs, strict=True):
            yield SampleOutput(self._decode_turns(prompt), decode(reference), decode(output))

    def _decode_turns(self, ids: TokenIds) -> str:
        """Decode a prompt in which end tokens end turns."""
        ends = np.flatnonzero(ids == self._tokenizer.specials.end) + 1
        return "".join(self._tokenizer.decode(turn) for turn in np.split(ids, ends))

    def _masked_samples(self) -> Iterator[SampleOutput]:
        """Yield masked examples; a masked token is a box in the prompt."""
        ids, targets, found = self._predict_rows()
        mask = self._tokenizer.specials.mask
        for row in range(len(ids)):
            if (targets[row] == IGNORED).all():
                continue
            is_target = targets[row] != IGNORED
            chunks = np.split(ids[row], np.flatnonzero(ids[row] == mask))
            prompt = "▯".join(self._tokenizer.decode(chunk) for chunk in chunks)
            reference, output = (np.where(is_target, new[row], ids[row]) for new in (targets, found))
            yield SampleOutput(prompt, self._tokenizer.decode(reference), self._tokenizer.decode(output))

    def _class_samples(self) -> Iterator[SampleOutput]:
        ids, targets, found = self._predict_rows()
        names = self._session.tokens.meta["classes"]
        for row, target in enumerate(targets):
            if target != IGNORED:
                predicted = names[found[row]] if found[row] < len(names) else f"unknown class {found[row]}"
                yield SampleOutput(self._tokenizer.decode(ids[row]), names[target], predicted)

    def _predict_rows(self) -> tuple[Any, Any, Any]:
        """Return inputs, targets and predictions (highest logit) of the first held-out rows."""
        ids, targets = self._held_out.rows(0, 0, min(SHOWN_EXAMPLES, self._spec.batch.global_batch_size))
        logits = self._session.engine(torch.from_numpy(ids).to(self._session.device))
        return ids, targets, logits.argmax(-1).cpu().numpy()

    def _is_time_over(self, began: float) -> bool:
        """Whether any rank has reached the time limit of generation. Collective; equal on all ranks."""
        late = torch.tensor([int(time.monotonic() - began > GENERATION_LIMIT_S)], device=self._session.device)
        comm.all_reduce(late)
        return bool(late.item())

    def _record_baselines(self) -> None:
        """Record once the metrics of baselines on the same held-out data."""
        if self._has_recorded_notes:
            return
        self._has_recorded_notes = True
        if self._session.recorder.rank == 0:
            self._session.recorder.note(self._baseline_note())

    def _baseline_note(self) -> str:
        found = baselines.compute_baselines(self._spec, self._session.tokens)
        part, train = self._session.tokens.validation, self._session.tokens.train
        if self._is_text_scored:
            assert isinstance(part, Examples) and isinstance(train, Examples)
            outputs = [
                self._build_sample(part, number, "") for number in evenly_spaced(len(part), SCORED_PAIRS)
            ]
            training = [
                self._build_sample(train, number, "").reference for number in evenly_spaced(len(train), 2000)
            ]
            with contextlib.suppress(ImportError):  # `_score` has recorded it
                found |= scores.compute_trivial_scores(
                    [one.prompt for one in outputs], [one.reference for one in outputs], training
                )
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
        return f"Baselines without a model on the same held-out data: {metrics}."


def _output_token_limit(longest: int, context: int) -> int:
    """Return the limit of generated tokens for the longest reference; a model may never generate the end token."""
    return min(longest + longest // 4 + 4, context, OUTPUT_TOKENS_LIMIT)


def _gather_from_all_ranks(generated: dict[int, str]) -> list[dict[int, str]]:
    if distributed.get_world_size() == 1:
        return []
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, generated)
    return gathered
