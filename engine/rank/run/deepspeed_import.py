"""Import of DeepSpeed without packages of unused features."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# DeepSpeed's autotuner imports mlflow if that is installed. This takes seconds of CPU, and pyarrow starts a thread,
# which a process that forks ranks must not have: the fork server did not start (mlflow 3.17, pyarrow 26, 2026-11-22).
HIDDEN_MODULES = ("mlflow",)


def import_deepspeed() -> None:
    """Import deepspeed without HIDDEN_MODULES."""
    with _hide_modules(HIDDEN_MODULES):
        import deepspeed  # noqa: F401


@contextmanager
def _hide_modules(names: tuple[str, ...]) -> Iterator[None]:
    """Make modules unimportable within the context: None in sys.modules has this effect in Python."""
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    before = {name: modules[name] for name in names if name in modules}
    modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            del modules[name]
        modules.update(before)
