"""python -m engine.rank DIR RANK: one rank in a process of its own, from a cold start."""

from __future__ import annotations

import os
import sys
import time

BEGAN = time.perf_counter()


def main() -> int:
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.stderr.write("usage: python -m engine.rank DIR RANK\n")
        return 2
    from engine.directory import AttemptDirectory

    directory, rank = AttemptDirectory(sys.argv[1]), int(sys.argv[2])
    kind = next(seat.device_kind for seat in directory.read_placement().seats if seat.rank == rank)
    # Both are read while torch and deepspeed are imported, so they are set first.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    os.environ["DS_ACCELERATOR"] = kind
    from engine.rank.run.deepspeed_import import import_deepspeed

    import_deepspeed()
    from engine.rank.run.start import run_rank

    return run_rank(directory, rank, BEGAN)


if __name__ == "__main__":
    code = main()
    # As forked ranks leave: a thread of gloo or torch that outlives the interpreter aborts the process after all its
    # work is done and saved (seen 2026-11-27 with runs of a few steps).
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
