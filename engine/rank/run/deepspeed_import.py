"""DeepSpeed imported without what it would import for features that nothing here uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Its autotuner takes mlflow where that is installed: seconds of CPU, and by pyarrow a thread, which no process that
# forks ranks may have (the fork server died of it again and again; seen with mlflow 3.17 and pyarrow 26, 2026-11-22).
UNWANTED = ("mlflow",)


def import_deepspeed() -> None:
    with _hidden(UNWANTED):
        import deepspeed  # noqa: F401


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """None in sys.modules is Python's own way to say that a module cannot be imported."""
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    before = {name: modules[name] for name in names if name in modules}
    modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            del modules[name]
        modules.update(before)
