"""Client: `run = fourwalls.init(...)`, `run.log({...})`, `run.finish()`.

The client never blocks or ends training. It needs msgspec and the standard library. `fourwalls.system` reads the
machine; what it alone needs is loaded without the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourwalls.run import Run, init

__all__ = ["Run", "init"]


def __getattr__(name: str) -> Any:
    """Load the client at its first use, so that the engine's readers of the machine do not load it."""
    if name not in __all__:
        raise AttributeError(f"module 'fourwalls' has no attribute {name!r}")
    from fourwalls import run

    return getattr(run, name)
