"""Client: `run = fourwalls.init(...)`, `run.log({...})`, `run.finish()`.

The client never blocks or ends training. It needs msgspec and the standard library; host metrics come from
`engine.telemetry` if that is installed.
"""

from fourwalls.run import Run, init

__all__ = ["Run", "init"]
