"""Child side of an alternation: waits for its turn and reports the CPU seconds of the last one."""

from __future__ import annotations

import os
import sys
import time

WARM_UP_STEPS = 3


class AlternationClient:
    """Talks to tests.perf.alternation over stdin and stdout; other writes to stdout are redirected to stderr."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._left, self._began_s = WARM_UP_STEPS, time.process_time()

    def before_step(self) -> bool:
        """Wait for the turn of the next step; return True once there are no more turns."""
        if self._left == 0:
            self._answers.write(f"{time.process_time() - self._began_s}\n")
            self._answers.flush()
            line = sys.stdin.readline()
            if not line:
                return True
            self._left, self._began_s = int(line), time.process_time()
        self._left -= 1
        return False
