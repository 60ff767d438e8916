"""Losses of adapter training against peft's own modules in a plain loop on the same rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from engine.checkpoints.huggingface.architectures import find_family
from engine.checkpoints.huggingface.export import export
from engine.checkpoints.huggingface.peft import list_modules
from engine.data import objectives
from engine.data.prepare import prepare
from engine.rank.model.build import WholeModel
from engine.rank.train.schedule import learning_rate
from engine.spec.spec import Spec
from tests.engine.checkpoints.test_huggingface import LLAMA, load_transformers_model
from tests.engine.rank.attempts import Attempt, tiny

peft = pytest.importorskip("peft")
pytestmark = [pytest.mark.ranks, pytest.mark.filterwarnings("ignore")]

SEED, CASES, STEPS = 20261203, 4, 20
MODELS: list[dict[str, Any]] = [
    {},
    {"tied_embeddings": True},
    LLAMA | {"kv_heads": 1},
    LLAMA | {"biases": True},
]
# Patterns here, and target_modules of the same matrices in peft.
TARGETS = {
    "llama": [("attention.query, attention.value", ["q_proj", "v_proj"]),
              ("*attention.*, feed_forward.*", "all-linear"), ("feed_forward.down", ["down_proj"])],
    "gpt2": [("attention.query_key_value", ["c_attn"]), ("feed_forward.up", ["c_fc"]),
             ("attention.query_key_value, feed_forward.up", ["c_attn", "c_fc"])],
}  # fmt: skip


def train_with_peft(spec: Spec, base: Path, targets: Any, rank_data_dir: Path) -> list[float]:
    model = load_transformers_model(base)
    is_gpt2 = model.config.model_type == "gpt2"
    chosen = spec.adapter
    config = peft.LoraConfig(
        r=chosen.rank,
        lora_alpha=chosen.alpha,
        target_modules=targets,
        task_type="CAUSAL_LM",
        fan_in_fan_out=is_gpt2,
    )
    adapted = peft.get_peft_model(model, config).train()
    _copy_initial_values(spec, adapted)
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        parameters, lr=1.0, betas=(0.9, 0.95), weight_decay=spec.optimiser.weight_decay
    )
    source = objectives.build_training(spec, prepare(spec.data, rank_data_dir, rank_data_dir))
    losses = []
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = learning_rate(spec, step)
        ids, wanted = map(torch.from_numpy, source.rows(step, 0, spec.batch.global_batch_size))
        loss = F.cross_entropy(adapted(ids).logits.flatten(0, 1), wanted.flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, spec.optimiser.gradient_clip)
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def _copy_initial_values(spec: Spec, adapted: Any) -> None:
    here = dict(WholeModel(spec).named_parameters())
    known = list_modules(find_family(spec.model), spec.model, spec.vocab_size)
    copied = 0
    with torch.no_grad():
        for name, module in adapted.named_modules():
            place = known.get(name.removeprefix("base_model.model."))
            if place is not None and hasattr(module, "lora_A"):
                (key,) = place.rows
                module.lora_A["default"].weight.copy_(here[key.parameter("A")])
                copied += 1
    assert 2 * copied == sum("lora" in name for name in here), "both have the same adapters"


@pytest.mark.parametrize("index", range(CASES))
def test_losses_equal_those_of_peft_on_the_same_rows(
    index: int, start: Callable[..., Attempt], tmp_path: Path, rank_data_dir: Path
) -> None:
    rng, model = random.Random(SEED + index), MODELS[index % len(MODELS)]
    kind = "llama" if "positions" in model else "gpt2"
    patterns, targets = rng.choice(TARGETS[kind])
    adapter = {"rank": rng.choice((2, 4, 8)), "alpha": rng.choice((4.0, 16.0)), "targets": patterns}
    base = start(tiny(model=model, budget={"steps": 10}), "base").succeeded().directory.newest_checkpoint()
    assert base
    export(base, tmp_path / "exported")
    optimiser = {"warmup_steps": 2, "learning_rate": 1e-2}
    spec = tiny(model=model, adapter=adapter, optimiser=optimiser, budget={"steps": STEPS})
    spec = spec.model_copy(update={"start_from": "exported"})
    ours = start(spec, "ours", start_from=tmp_path / "exported").succeeded().series("loss")
    theirs = train_with_peft(spec, tmp_path / "exported", targets, rank_data_dir)
    assert list(ours.values()) == pytest.approx(theirs, rel=1e-5), (model, adapter)
    assert theirs[-1] != theirs[0]
