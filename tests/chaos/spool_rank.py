"""Rank program that only writes its spool, five metrics a step, in bursts.

    python spool_rank.py JOURNAL_DIR ATTEMPT_DIR RANK

It ends with the steps of its spec, or once JOURNAL_DIR/enough exists, and writes their number to
JOURNAL_DIR/spool_rank.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

METRICS = ("loss", "grad_norm", "learning_rate", "tokens", "step_s")
BURST, PAUSE_S = 20, 0.1


def value(step: int, number: int) -> float:
    return step + number / 16


def main() -> int:
    journal, attempt = Path(sys.argv[1]), Path(sys.argv[2])
    num_steps = json.loads((attempt / "spec.json").read_bytes())["budget"]["steps"]
    step = 0
    with (attempt / "spool" / "rank0.jsonl").open("ab", buffering=0) as spool:
        while step < num_steps and not (journal / "enough").exists():
            lines = []
            first = step + 1
            for step in range(first, min(first + BURST, num_steps + 1)):
                metrics = {name: value(step, number) for number, name in enumerate(METRICS)}
                line = {"k": "step", "at": time.time(), "source": "run", "step": step, "metrics": metrics}
                lines.append(json.dumps(line).encode() + b"\n")
            spool.write(b"".join(lines))
            time.sleep(PAUSE_S)
        (journal / "spool_rank").write_text(str(step))
        spool.write(b'{"k":"result","at":%f,"source":"run","text":"all steps done"}\n' % time.time())
    return 0


if __name__ == "__main__":
    sys.exit(main())
