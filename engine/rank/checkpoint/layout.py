"""Layout of a checkpoint: what decides whether it fits a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.checkpoints.folder import ResumeError
from engine.spec.model import Model
from engine.spec.spec import Spec, flatten

# Fields of the layout that the random states of ranks depend on.
RANDOM_STATE_FIELDS = ("parallel", "micro_batch_size", "dtype")


def describe_layout(spec: Spec, dtype: str) -> dict[str, Any]:
    """Return the part of a spec that decides whether a checkpoint fits."""
    model = spec.model.model_dump(exclude={"dropout"}) | {"vocab_size": spec.vocab_size}
    parallel = spec.parallel.model_dump(exclude={"activation_checkpointing"})
    found = {
        "model": model, "parallel": parallel, "dtype": dtype, "optimiser": spec.optimiser.name,
        "micro_batch_size": spec.batch.micro_batch_size,
    }  # fmt: skip
    if spec.adapter.is_on:
        found["adapter"] = spec.adapter.model_dump(exclude={"dropout"})
    return found


def refuse_other_model(saved: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> None:
    """Raise ResumeError if the layouts differ in the model or the optimiser. `name` is that of the checkpoint."""
    # A checkpoint of an earlier version has no values of later fields; its model is that of their defaults.
    defaults = {f"model.{name}": field.default for name, field in Model.model_fields.items()}
    before, now = defaults | flatten(saved), flatten(wanted)
    adapters = [key for key in {**before, **now} if key.startswith("adapter.")]
    fields = [key for key in now if key.startswith("model.") or key == "optimiser"] + adapters
    differing = [
        f"{key} {before.get(key, 'none')} instead of {now.get(key, 'none')}"
        for key in fields
        if before.get(key) != now.get(key)
    ]
    if differing:
        raise ResumeError(
            f"The checkpoint {name} has {', '.join(differing)}. A resumed run may change only the layout (data, "
            "tensor, stages, ZeRO stage). To load weights alone, use start_from."
        )


def describe_layout_change(before: Mapping[str, Any], now: Mapping[str, Any], has_dropout: bool) -> str:
    old, new = (
        {k: v for k, v in flatten(x).items() if k.split(".")[0] in RANDOM_STATE_FIELDS} for x in (before, now)
    )
    changed = [f"{key} {old.get(key)} -> {new[key]}" for key in new if old.get(key) != new[key]]
    dropout = " Dropout continues with new random numbers." if has_dropout else ""
    return f"Resumed in another layout than that of the checkpoint: {', '.join(changed)}.{dropout}"
