"""Fork server of ranks of one device kind, with switches for measurements.

Command: GPU_CHECK_KIND=cuda python -m tests.gpu.forker
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from tests.engine.rank import forker, injection

KIND = "GPU_CHECK_KIND"
DECODED = "decode.json"  # in the attempt's directory


def main() -> None:
    preload, kind = forker.preload, os.environ[KIND]
    forker.preload = lambda _: preload(kind)
    injection.INJECTIONS.update(steps_only=_steps_only, unpinned=_unpinned, decode=_decode)
    forker.main()


def _steps_only(_: bool) -> None:
    """Leave out the validation and the checkpoint at the end, which take longer than the steps."""
    from engine.rank.run import loop
    from engine.rank.run.evaluate import Evaluation

    loop._save = lambda *_, **__: None
    # The loop needs a loss for the checkpoint, which is not written; no row has it.
    Evaluation.run = lambda *_, **__: {"validation_loss": 0.0}  # type: ignore[method-assign,assignment]


def _unpinned(_: bool) -> None:
    """Offload to pageable host memory. The engine has no such switch in a spec."""
    from engine.rank.train import engine

    offload = engine._offload
    engine._offload = lambda *args: {
        key: value | {"pin_memory": False} for key, value in offload(*args).items()
    }


def _decode(wanted: dict[str, Any]) -> None:
    """Generate text instead of training: {"batches": [1, 8], "prompt": 32, "tokens": 64}."""
    from engine.rank.run import generate, start
    from engine.rank.run.loop import TrainingEnd

    generate._is_true_on_all_ranks = lambda ended: (
        False
    )  # an end token ends nothing, so all tokens are counted

    def decode(session: Any, *_: Any) -> TrainingEnd:
        rates = {str(size): _tokens_per_s(session, size, wanted) for size in wanted["batches"]}
        (session.directory.path / DECODED).write_text(json.dumps(rates))
        return TrainingEnd(0, "")

    start.train = decode


def _tokens_per_s(session: Any, batch: int, wanted: dict[str, Any]) -> float:
    import numpy as np
    import torch

    from engine.data.special_tokens import SpecialTokens
    from engine.rank.run.generate import generate_continuations

    random = np.random.default_rng(0)
    prompts = [random.integers(0, 256, wanted["prompt"]) for _ in range(batch)]
    specials: SpecialTokens = _specials(session)
    session.engine.eval()
    seconds = []
    for limit in (4, wanted["tokens"], wanted["tokens"]):  # the first one warms up
        start = time.perf_counter()
        generate_continuations(session.engine, prompts, limit, specials, session.device)
        if session.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return float(batch * wanted["tokens"] / min(seconds[1:]))


def _specials(session: Any) -> Any:
    from engine.rank.run.evaluate import Evaluation

    return Evaluation(session)._tokenizer.specials


if __name__ == "__main__":
    main()
