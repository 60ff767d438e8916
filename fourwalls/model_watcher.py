"""Histograms of gradients and parameters of PyTorch models that a script watches."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from fourwalls.media import Histogram

if TYPE_CHECKING:
    from fourwalls.run_object import Run

SAMPLE = 100_000  # values of one histogram, evenly over a larger tensor
_handles: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()


def watch(run: Run, models: Any, what: str, every: int) -> None:
    """`what`: gradients, parameters or all. Reading a tensor on a GPU waits for the GPU, each `every` passes."""
    for index, model in enumerate(models if isinstance(models, (list, tuple)) else [models]):
        prefix = f"{index}/" if index else ""
        if what in ("gradients", "all", "parameters"):
            _watch_model(run, model, prefix, what, max(1, every))


def unwatch(models: Any = None) -> None:
    """Remove the hooks of these models, by default of all."""
    given = models if isinstance(models, (list, tuple)) else [models]
    for model in list(_handles) if models is None else given:
        for handle in _handles.pop(model, []):
            handle.remove()


def _watch_model(run: Run, model: Any, prefix: str, what: str, every: int) -> None:
    unwatch(model)
    counts: dict[str, int] = {}

    def hook(name: str, parameter: Any) -> Any:
        def record(gradient: Any) -> None:
            counts[name] = counts.get(name, 0) + 1
            if (counts[name] - 1) % every:
                return
            row = {}
            if what in ("gradients", "all"):
                row[f"gradients/{prefix}{name}"] = _histogram(gradient)
            if what in ("parameters", "all"):
                row[f"parameters/{prefix}{name}"] = _histogram(parameter)
            run.log(row, commit=False)

        return record

    _handles[model] = [
        parameter.register_hook(hook(name, parameter))
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]


def _histogram(tensor: Any) -> Histogram:
    values = tensor.detach().reshape(-1)
    if len(values) > SAMPLE:
        values = values[:: len(values) // SAMPLE + 1]
    return Histogram(values.float())
