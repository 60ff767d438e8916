"""The client: `run = fourwalls.init(...)`, `run.log({...})`, `run.finish()`. It never holds up or ends training.

Needs msgspec and the standard library; the machine's own figures come from `engine.telemetry` where that is installed.
"""

from fourwalls.run import Run, init

__all__ = ["Run", "init"]
