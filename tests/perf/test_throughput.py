"""Tokens per second against a plain loop, torch's DDP and Hugging Face's Trainer, and the cost of ZeRO."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from engine.checkpoints.huggingface.architectures import find_family
from engine.data import objectives
from engine.data.prepare import prepare
from engine.model_math import counts
from engine.spec.spec import Spec, parse
from tests.engine.rank.attempts import write_attempt
from tests.perf import peer_environment
from tests.perf.alternation import Competitor, ratio, run_alternating, table
from tests.running import ROOT

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]

ROUNDS = 16
GPT2 = {"layers": 6, "width": 256, "heads": 4, "ffn_width": 1024, "context": 128, "tied_embeddings": True}
LLAMA = GPT2 | {
    "positions": "rotary", "norm": "rmsnorm", "feed_forward": "swiglu", "biases": False, "ffn_width": 688,
    "tied_embeddings": False,
}  # fmt: skip
# 5 M parameters and 2,048 tokens a step, in micro-batches of 4 sequences on any number of ranks.
SETTINGS: dict[str, Any] = {
    "name": "peers",
    "batch": {"global_batch_size": 16, "micro_batch_size": 4},
    "precision": {"dtype": "fp32"},
    "budget": {"steps": 1_000_000, "validate_every": 0, "checkpoint_every": 0, "time_limit_s": 86_400},
}


def spec_of(model: dict[str, Any] = GPT2, **parallel: int) -> Spec:
    return parse(SETTINGS | {"model": model, "parallel": {"data": 1, "zero_stage": 1} | parallel})


Make = Callable[[str, str, Spec], Competitor]


@pytest.fixture
def make_competitor(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """make_competitor(name, kind, spec): a competitor with as many ranks as the spec names."""
    data_dir = tmp_path_factory.getbasetemp() / "data"

    def make(name: str, kind: str, spec: Spec) -> Competitor:
        if kind == "trainer":
            folder = _write_trainer_files(tmp_path / name, spec, data_dir)
            command = [
                str(peer_environment.peer_python()),
                str(ROOT / "tests/perf/trainer_child.py"),
                str(folder),
            ]
        else:
            path = write_attempt(tmp_path / name, spec, data_dir).path
            command = [sys.executable, "-m", "tests.perf.training_loops", kind, str(path)]
        return Competitor(name, [command] * spec.parallel.data, tmp_path)

    return make


def _write_trainer_files(folder: Path, spec: Spec, data_dir: Path) -> Path:
    """The same model, rows and settings, in its words."""
    family, batch, optimiser = find_family(spec.model), spec.batch, spec.optimiser
    folder.mkdir()
    config = {
        "model_type": family.model_type,
        "vocab_size": spec.vocab_size,
        "tie_word_embeddings": spec.model.tied_embeddings,
    }
    (folder / "config.json").write_text(json.dumps(config | family.write(spec.model)))
    source = objectives.build_training(spec, prepare(spec.data, data_dir, data_dir))
    rows = [source.rows(step, 0, batch.global_batch_size)[0] for step in range(8)]
    numpy.save(folder / "rows.npy", numpy.concatenate(rows))
    arguments = {
        "per_device_train_batch_size": batch.micro_batch_size,
        "gradient_accumulation_steps": spec.accumulation, "max_grad_norm": optimiser.gradient_clip,
        "learning_rate": optimiser.learning_rate, "weight_decay": optimiser.weight_decay,
    }  # fmt: skip
    (folder / "arguments.json").write_text(json.dumps(arguments))
    return folder


def test_one_rank_against_a_plain_loop(make_competitor: Make) -> None:
    spec = spec_of()
    found = run_alternating(
        [make_competitor("plain", "plain", spec), make_competitor("ours", "ours", spec)], ROUNDS
    )
    share = ratio(found["plain"], found["ours"])
    print(f"\n{table(found, counts.tokens_per_step(spec))}\nours / plain loop {share:.3f} (target 0.98)")
    assert share >= 0.98


def test_two_ranks_against_torchs_ddp(make_competitor: Make) -> None:
    spec = spec_of(data=2, zero_stage=0)
    found = run_alternating(
        [make_competitor("ddp", "ddp", spec), make_competitor("ours", "ours", spec)], ROUNDS
    )
    share = ratio(found["ddp"], found["ours"])
    print(f"\n{table(found, counts.tokens_per_step(spec))}\nours / DDP {share:.3f} (target 0.95)")
    assert share >= 0.95


@pytest.mark.parametrize("model", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_one_rank_against_hugging_faces_trainer(make_competitor: Make, model: dict[str, Any]) -> None:
    spec = spec_of(model)
    trainer = make_competitor("trainer", "trainer", spec)
    found = run_alternating([trainer, make_competitor("ours", "ours", spec)], ROUNDS)
    assert f"{counts.parameters(spec):,} parameters" in trainer.log.read_text()
    share = ratio(found["trainer"], found["ours"])
    print(f"\n{table(found, counts.tokens_per_step(spec))}\nours / Trainer {share:.3f} (target 1.1)")
    assert share >= 1.1


def test_cpu_seconds_of_zero_1_on_two_ranks_at_equal_work(make_competitor: Make) -> None:
    alone, two, unshared = spec_of(), spec_of(data=2), spec_of(data=2, zero_stage=0)
    found = run_alternating(
        [make_competitor("plain", "plain", alone), make_competitor("ZeRO 1", "ours", two),
         make_competitor("ZeRO 0", "ours", unshared), make_competitor("DDP", "ddp", two)],
        ROUNDS,
    )  # fmt: skip
    shares = {name: ratio(turns, found["plain"], "cpu_s") for name, turns in found.items()}
    shares_text = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
    print(f"\n{table(found, counts.tokens_per_step(alone))}\nCPU s / plain: {shares_text} (target 1.10)")
    assert shares["ZeRO 1"] <= 1.10
