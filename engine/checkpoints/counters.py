"""Counters of a run that a resume continues: tokens and samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.model_math import counts
from engine.spec.spec import Spec, SpecError, parse


@dataclass(frozen=True)
class Counters:
    """What a run has trained on after `step` steps, whatever batch each of them had."""

    step: int
    tokens: int
    samples: int

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Counters | None:
        """Read the counters of a checkpoint. None for one without counters whose spec cannot be read either.

        Older versions saved no counters: then all steps are counted with the batch of the saved spec.
        """
        step, saved = int(manifest["step"]), manifest.get("counters")
        if saved is not None and {"tokens", "samples"} <= saved.keys():
            return cls(step, int(saved["tokens"]), int(saved["samples"]))
        try:
            return NO_COUNTERS.after(step, parse(manifest["spec"]))
        except SpecError:
            return None

    def after(self, step: int, spec: Spec) -> Counters:
        """Return the counters after `step` steps, if all steps since these are of `spec`."""
        done = step - self.step
        tokens = self.tokens + done * counts.tokens_per_step(spec)
        return Counters(step, tokens, self.samples + done * spec.batch.global_batch_size)

    def to_json(self) -> dict[str, int]:
        return {"tokens": self.tokens, "samples": self.samples}


NO_COUNTERS = Counters(0, 0, 0)  # of a run that begins
