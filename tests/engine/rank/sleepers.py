"""Fork server for ranks whose pipeline stages sleep for a known time.

So the bubble is known in advance. Everything else is real: DeepSpeed's schedule, gloo, the layers, the optimiser.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from engine.rank.run.forkserver import preload
from tests.engine.rank import forker

FORWARD_S, BACKWARD_S = 0.03, 0.06  # much longer than the work of the tiny layers, also on a busy host


def main() -> None:
    # Other processes on a busy host would delay single stages. The ranks sleep nearly all the time.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    preload("cpu")
    from deepspeed.runtime.pipe import schedule
    from deepspeed.runtime.pipe.engine import PipelineEngine

    table = PipelineEngine._INSTRUCTION_MAP
    for kind, seconds in ((schedule.ForwardPass, FORWARD_S), (schedule.BackwardPass, BACKWARD_S)):
        table[kind] = _slowed(table[kind], seconds)
    forker.main()


def _slowed(instruction: Callable[..., None], seconds: float) -> Callable[..., None]:
    def run(self: Any, **kwargs: Any) -> None:
        if self.module.training:
            time.sleep(seconds)
        instruction(self, **kwargs)

    return run


if __name__ == "__main__":
    main()
