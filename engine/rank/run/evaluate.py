"""What a model is worth beyond its loss, at each validation: perplexity, accuracy, BLEU, ROUGE, and what it writes."""

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
from engine.data.paired import Row, prompt_ids, source_ids, spread
from engine.data.specials import IGNORED
from engine.data.tokenizers import tokenizer_in
from engine.rank.run import generate
from engine.rank.run.session import Session
from engine.spec.spec import Spec
from engine.telemetry.heartbeat import Stage

SCORED = 64  # held-out pairs whose outputs are written and scored at each validation
SHOWN = 4  # of which the first are kept for people to read; of other objectives, so many examples
TOGETHER = 16  # decoded in one batch
TOKENS_LIMIT = 128  # of an output
LIMIT_S = 20.0  # of writing outputs at one validation; what is not written by then is not scored
CONTINUED = 48  # tokens that a language model writes behind a held-out beginning


def absent_scores(spec: Spec) -> dict[str, tuple[str, str]]:
    """Why some figures of a run cannot be had."""
    if spec.data.objective != "pairs" or spec.parallel.stages == 1:
        return {}
    why = "outputs are written token by token by a whole model; here each rank holds one stage of a pipeline"
    return dict.fromkeys(scores.TEXT_METRICS, ("unsupported", why))


@dataclass(frozen=True)
class Output:
    """One held-out example: what the model was given, what it should have said, and what it said."""

    prompt: str
    reference: str
    output: str


class Evaluation:
    """Judges the session's model on its held-out data, always on the same examples."""

    def __init__(self, session: Session) -> None:
        self._session, self._spec = session, session.spec
        self._held_out = objectives.validation(session.spec, session.tokens)
        self._tokenizer = tokenizer_in(session.tokens.folder, session.spec.data.tokenizer)
        self._is_text_scored = session.spec.data.objective == "pairs" and session.spec.parallel.stages == 1
        self._has_told = False

    def at(self, done: int, training_loss: float | None) -> dict[str, float]:
        """Measure after step `done`, and record what was found; returns the metrics. Collective."""
        session = self._session
        session.heartbeat.beat(done, Stage.LONG)
        loss, share = self._loss_and_share()
        metrics = {"validation_loss": loss} | self._derived(loss, share)
        if training_loss is not None and not self._spec.optimiser.label_smoothing:
            metrics["loss_gap"] = loss - training_loss
        shown: list[Output] = []
        if self._is_text_scored:
            found, shown = self._texts(done)
            metrics |= found
        elif self._spec.parallel.stages == 1:
            shown = self._of_others()
        if session.recorder.rank == 0:
            session.recorder.validation(done, metrics)
            session.recorder.outputs(done, shown)
        session.narrator.say("step %d  validation loss %.4f", done, loss)
        self._tell_baselines()
        return metrics

    def _loss_and_share(self) -> tuple[float, float | None]:
        """The mean held-out loss, and the share of targets that were the likeliest."""
        share_of_loss = self._session.trainer.validate(self._held_out)
        right, judged = self._session.trainer.token_accuracy_counts()
        sums = torch.tensor([0.0, right, judged], dtype=torch.float64, device=share_of_loss.device)
        sums[0] = share_of_loss
        comm.all_reduce(sums)
        loss, right, judged = sums.tolist()
        return loss, right / judged if judged else None

    def _derived(self, loss: float, share: float | None) -> dict[str, float]:
        objective, meta = self._spec.data.objective, self._session.tokens.meta
        found = {}
        if share is not None:
            found["accuracy_share" if objective == "classes" else "token_accuracy_share"] = share
        if objective != "classes":
            found["perplexity"] = math.exp(min(loss, 700.0))
        if objective in ("next_token", "pairs"):
            found["bits_per_byte"] = baselines.bits_per_byte(
                loss, meta["validation_tokens"], meta["validation_bytes"]
            )
        return found

    @torch.no_grad()
    def _texts(self, done: int) -> tuple[dict[str, float], list[Output]]:
        """Outputs for the same held-out pairs each time, shared out over the data ranks; scores on rank 0."""
        part, data = self._session.tokens.validation, self._spec.parallel.data
        assert isinstance(part, Examples)
        chosen = spread(len(part), SCORED)
        rounds, began = -(-len(chosen) // (TOGETHER * data)), time.monotonic()
        written: dict[int, str] = {}
        for turn in range(rounds):
            if turn and self._is_over(began):
                break
            self._session.heartbeat.beat(done, Stage.LONG)
            first = (turn * data + self._session.seat.data_rank) * TOGETHER
            # A rank with nothing left decodes the last ones again: every forward pass may be a collective.
            mine = chosen[first : first + TOGETHER] or chosen[-1:]
            outputs = self._outputs(part, mine)
            written |= {n: self._tokenizer.decode(out) for n, out in zip(mine, outputs, strict=True)}
        for of_one in _from_all(written):
            written |= of_one
        if self._session.recorder.rank:
            return {}, []
        outputs = [self._output(part, number, written[number]) for number in sorted(written)]
        return self._scored(outputs, len(chosen), done), outputs[:SHOWN]

    def _outputs(self, part: Examples, numbers: list[int]) -> list[Row]:
        engine, context, special = self._session.engine, self._spec.model.context, self._tokenizer.specials
        assert part.targets is not None
        if self._spec.model.family == "encoder-decoder":
            longest = max(len(part.targets[number]) for number in numbers)
            sources = [source_ids(part.sources[number], context, special) for number in numbers]
            limit = _limit(longest, context)
            return generate.answers(engine, sources, limit, special, self._session.device)
        prompts = [
            prompt_ids(part.sources[number], len(part.targets[number]) + 1, context, special)
            for number in numbers
        ]
        room = context - max(len(prompt) for prompt in prompts) + 1
        limit = min(room, TOKENS_LIMIT)
        return generate.continuations(engine, prompts, limit, special, self._session.device)

    def _scored(self, outputs: list[Output], wanted: int, done: int) -> dict[str, float]:
        if len(outputs) < wanted:
            self._session.recorder.note(
                f"At step {done}, {len(outputs)} of {wanted} held-out pairs were scored within {LIMIT_S:.0f} s.",
                step=done,
            )
        try:
            found, signature = scores.scores(
                [one.output for one in outputs], [one.reference for one in outputs]
            )
        except ImportError as error:
            if not self._has_told:
                self._session.recorder.note(f"Outputs are not scored: {error.name} is missing.", "warning")
            return {}
        if not self._has_told:
            self._session.recorder.note(f"BLEU by sacrebleu, {signature}; ROUGE by rouge-score, F-measure.")
        return found

    def _output(self, part: Examples, number: int, output: str) -> Output:
        assert part.targets is not None
        decode = self._tokenizer.decode
        return Output(decode(part.sources[number]), decode(part.targets[number]), output)

    def _of_others(self) -> list[Output]:
        """A few held-out examples of the other objectives, on every rank; kept by rank 0."""
        kinds: dict[str, Callable[[], Iterator[Output]]] = {
            "next_token": self._continued, "masked": self._filled, "classes": self._classified,
        }  # fmt: skip
        with torch.no_grad():
            return list(kinds[self._spec.data.objective]())

    def _continued(self) -> Iterator[Output]:
        ids, targets = self._held_out.rows(0, 0, min(SHOWN, self._spec.batch.global_batch_size))
        half = self._spec.model.context // 2
        limit = min(CONTINUED, self._spec.model.context - half)
        outputs = generate.continuations(
            self._session.engine, list(ids[:, :half]), limit, self._tokenizer.specials, self._session.device
        )
        for row, output in enumerate(outputs):
            if targets[row, 0] != IGNORED:
                decode = self._tokenizer.decode
                yield Output(decode(ids[row, :half]), decode(ids[row, half : half + limit]), decode(output))

    def _filled(self) -> Iterator[Output]:
        """Prompts show a hidden token as a box."""
        ids, targets, found = self._judged_rows()
        mask = self._tokenizer.specials.mask
        for row in range(len(ids)):
            if (targets[row] == IGNORED).all():
                continue
            is_hidden = targets[row] != IGNORED
            pieces = np.split(ids[row], np.flatnonzero(ids[row] == mask))
            prompt = "▯".join(self._tokenizer.decode(piece) for piece in pieces)
            reference, output = (np.where(is_hidden, new[row], ids[row]) for new in (targets, found))
            yield Output(prompt, self._tokenizer.decode(reference), self._tokenizer.decode(output))

    def _classified(self) -> Iterator[Output]:
        ids, targets, found = self._judged_rows()
        names = self._session.tokens.meta["classes"]
        for row, target in enumerate(targets):
            if target != IGNORED:
                said = names[found[row]] if found[row] < len(names) else "a class of which there is none"
                yield Output(self._tokenizer.decode(ids[row]), names[target], said)

    def _judged_rows(self) -> tuple[Any, Any, Any]:
        """Inputs, targets and likeliest outputs of the first held-out rows."""
        ids, targets = self._held_out.rows(0, 0, min(SHOWN, self._spec.batch.global_batch_size))
        logits = self._session.engine(torch.from_numpy(ids).to(self._session.device))
        return ids, targets, logits.argmax(-1).cpu().numpy()

    def _is_over(self, began: float) -> bool:
        """Whether the time for writing is over on some rank; all ranks get the same answer."""
        late = torch.tensor([int(time.monotonic() - began > LIMIT_S)], device=self._session.device)
        comm.all_reduce(late)
        return bool(late.item())

    def _tell_baselines(self) -> None:
        """Once, what takes no learning scores on the same held-out data."""
        if self._has_told:
            return
        self._has_told = True
        if self._session.recorder.rank == 0:
            self._session.recorder.note(self._baselines())

    def _baselines(self) -> str:
        found = baselines.of(self._spec, self._session.tokens)
        part, train = self._session.tokens.validation, self._session.tokens.train
        if self._is_text_scored:
            assert isinstance(part, Examples) and isinstance(train, Examples)
            outputs = [self._output(part, number, "") for number in spread(len(part), SCORED)]
            training = [self._output(train, number, "").reference for number in spread(len(train), 2000)]
            with contextlib.suppress(ImportError):  # which has been told of
                found |= scores.trivial(
                    [one.prompt for one in outputs], [one.reference for one in outputs], training
                )
        said = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
        return f"To beat on the same held-out data, as what takes no learning scores: {said}."


def _limit(longest: int, context: int) -> int:
    """Tokens to write at most, given the longest reference: a model that never ends shall not cost for ever."""
    return min(longest + longest // 4 + 4, context, TOKENS_LIMIT)


def _from_all(written: dict[int, str]) -> list[dict[int, str]]:
    if distributed.get_world_size() == 1:
        return []
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, written)
    return gathered
