"""Command `python -m engine.rank DIR RANK`: cold start of one rank."""

from __future__ import annotations

import os
import sys
import time

PROCESS_START_S = time.perf_counter()


def main() -> int:
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.stderr.write("usage: python -m engine.rank DIR RANK\n")
        return 2
    from engine.directory import AttemptDirectory

    directory, rank = AttemptDirectory(sys.argv[1]), int(sys.argv[2])
    kind = next(seat.device_kind for seat in directory.read_placement().seats if seat.rank == rank)
    # The imports of torch and deepspeed read both variables.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    os.environ["DS_ACCELERATOR"] = kind
    from engine.rank.run.deepspeed_import import import_deepspeed

    import_deepspeed()
    from engine.rank.run.start import run_rank

    return run_rank(directory, rank, PROCESS_START_S)


if __name__ == "__main__":
    code = main()
    # Forked ranks exit in the same way: a thread of gloo or torch that outlives the interpreter aborts the process
    # after all its work is done and saved (seen 2026-11-27 with runs of a few steps).
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
