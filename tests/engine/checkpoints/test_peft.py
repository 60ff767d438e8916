"""Adapters in peft's format: exported to it, imported from it, refused with a reason."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.checkpoints.adapters import adapters_of_checkpoint, parse_parameter
from engine.checkpoints.huggingface.architectures import ArchitectureError
from engine.checkpoints.huggingface.export import export, export_adapters
from engine.checkpoints.initial_weights import open_initial_weights
from engine.checkpoints.soundness import open_checkpoint
from engine.rank.model.build import WholeModel
from engine.spec.parts import Adapter
from engine.spec.spec import Spec, SpecError, parse
from tests.engine.checkpoints.sample_checkpoints import small, write_checkpoint
from tests.engine.checkpoints.test_huggingface import LLAMA, arrays, load_transformers_model, logits

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")  # of peft and transformers about each other

MODELS: dict[str, dict[str, Any]] = {
    "GPT-2": {}, "GPT-2, tied": {"tied_embeddings": True}, "Llama, grouped heads": LLAMA | {"kv_heads": 2},
    "Llama, tied, with biases": LLAMA | {"tied_embeddings": True, "biases": True},
    "Qwen 2": LLAMA | {"biases": True, "bias_in": "qkv"}, "Llama, wide heads": LLAMA | {"head_dim": 16, "kv_heads": 1},
    "GPT-NeoX": {"positions": "rotary", "rotary_share": 0.5, "parallel_residual": True, "feed_forward": "gelu_exact"},
}  # fmt: skip
SEED, CASES, TOLERANCE = 20261202, 24, 1e-5
TARGETS = [
    "*attention.*, feed_forward.*", "attention.query, attention.value", "attention.query_key_value, feed_forward.up",
    "attention.key", "*", "1.*", "2.attention.output, 1.feed_forward.down",
]  # fmt: skip
PEFT_TARGETS = {
    "gpt2": [["c_attn"], ["c_attn", "c_fc", "c_proj"], "all-linear", ["h.1.mlp.c_fc"], ["lm_head", "c_attn"]],
    "llama": [
        ["q_proj", "v_proj"],
        "all-linear",
        ["k_proj", "down_proj"],
        ["lm_head"],
        "model\\.layers\\.1\\..*proj",
    ],
}
PEFT_TARGETS["gpt_neox"] = ["all-linear", ["query_key_value"], ["dense_4h_to_h", "attention.dense"]]


def randomise(model: nn.Module, seed: int) -> None:
    random_state = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random_state), alpha=0.1)


def write_base(spec: Spec, folder: Path) -> tuple[Path, WholeModel]:
    """Write a Hugging Face folder with random weights, and return it with the model."""
    plain = spec.model_copy(update={"adapter": Adapter()})
    model = WholeModel(plain)
    randomise(model, 2)
    export(write_checkpoint(folder / "written", plain, arrays(model)), folder / "base")
    return folder / "base", model.eval()


def find_tolerance(model: nn.Module) -> float:
    """Difference that rounding alone may make: some draws saturate a softmax, where fp32 and fp64 differ by 7e-5."""
    expected = logits(model)
    rounding = (logits(copy.deepcopy(model).double()) - expected).abs().max()
    return float(TOLERANCE * max(1, expected.abs().max()) + 4 * rounding)


def draw_adapted(rng: random.Random) -> tuple[str, Spec]:
    name = rng.choice(list(MODELS))
    adapter = {
        "rank": rng.choice((1, 2, 5)),
        "alpha": rng.choice((1.0, 7.0, 16.0)),
        "targets": rng.choice(TARGETS),
    }
    return name, parse(small(**MODELS[name]).model_dump() | {"adapter": adapter, "start_from": "base"})


@pytest.mark.parametrize("index", range(CASES))
def test_exported_adapters_compute_the_same_in_peft(index: int, tmp_path: Path) -> None:
    name, spec = draw_adapted(random.Random(SEED + index))
    base, plain = write_base(spec, tmp_path)
    model = WholeModel(spec)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parse_parameter(key) is None:
                parameter.copy_(plain.get_parameter(key))
    for adapter in (module for module in model.modules() if hasattr(module, "lora_A")):
        randomise(adapter, index)
    trained = {key: values for key, values in arrays(model).items() if parse_parameter(key)}
    saved = write_checkpoint(tmp_path / "adapters", spec, trained)
    export_adapters(saved, tmp_path / "exported")
    loaded = peft.PeftModel.from_pretrained(load_transformers_model(base), tmp_path / "exported").eval()
    expected = logits(model.eval())
    assert (logits(plain) - expected).abs().max() > 1e-2, "the adapters change the model"
    tolerance = find_tolerance(model)
    assert (logits(loaded) - expected).abs().max() < tolerance, (name, spec.adapter)
    merged = logits(loaded.merge_and_unload())
    assert (merged - expected).abs().max() < 10 * tolerance


@pytest.mark.parametrize("index", range(CASES))
def test_adapters_that_peft_saved_are_merged_into_their_base(index: int, tmp_path: Path) -> None:
    rng = random.Random(SEED + 1000 + index)
    name = rng.choice(list(MODELS))
    spec = small(**MODELS[name])
    base, _ = write_base(spec, tmp_path)
    model = load_transformers_model(base)
    kind = model.config.model_type
    targets = rng.choice(
        [
            t
            for t in PEFT_TARGETS.get(kind, PEFT_TARGETS["llama"])
            if not (spec.model.tied_embeddings and "lm_head" in t)
        ]
    )
    config = peft.LoraConfig(
        r=rng.choice((1, 2, 5)), lora_alpha=rng.choice((1, 7, 16)), target_modules=targets,
        use_rslora=rng.random() < 0.3, task_type="CAUSAL_LM", fan_in_fan_out=kind == "gpt2",
        rank_pattern=rng.choice(({}, {"c_attn": 3, "q_proj": 3})), alpha_pattern=rng.choice(({}, {"c_attn": 5})),
    )  # fmt: skip
    adapted = peft.get_peft_model(model, config)
    for module in adapted.modules():
        for matrices in (getattr(module, "lora_A", None), getattr(module, "lora_B", None)):
            if matrices:
                randomise(matrices, index)
    adapted.save_pretrained(tmp_path / "adapter")
    weights = open_initial_weights(tmp_path / "adapter", "adapter")
    weights.refuse_misfit(spec)
    here = WholeModel(spec).eval()
    with torch.no_grad():
        for key, parameter in here.named_parameters():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights.whole(key))))
    expected = logits(adapted.eval())
    assert (logits(here) - expected).abs().max() < find_tolerance(here), (name, targets)


def saved_adapter(tmp_path: Path) -> Path:
    spec = parse(
        small(**MODELS["Llama, grouped heads"]).model_dump() | {"adapter": {"rank": 2}, "start_from": "base"}
    )
    write_base(spec, tmp_path)
    trained = {key: values for key, values in arrays(WholeModel(spec)).items() if parse_parameter(key)}
    export_adapters(write_checkpoint(tmp_path / "adapters", spec, trained), tmp_path / "exported")
    change(tmp_path / "exported", base_model_name_or_path="base")
    return tmp_path / "exported"


def change(folder: Path, **fields: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3'"), ({"use_dora": True}, "use_dora True"),
        ({"bias": "all"}, "bias 'all'"), ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"base_model_name_or_path": "../../etc"}, "no such folder beside it"),
        ({"base_model_name_or_path": ""}, "no such folder"), ({"lora_alpha": "much"}, "lora_alpha 'much'"),
        ({"base_model_name_or_path": None}, "no such folder"),
    ],
)  # fmt: skip
def test_what_peft_can_do_and_this_cannot_is_refused(
    fields: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = saved_adapter(tmp_path)
    open_initial_weights(folder, "the adapter")
    change(folder, **fields)
    with pytest.raises(SpecError, match=reason):
        open_initial_weights(folder, "the adapter")


def test_adapters_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = saved_adapter(tmp_path)
    other = small(**MODELS["Llama, grouped heads"], ffn_width=64)
    export(write_checkpoint(tmp_path / "other", other, arrays(WholeModel(other))), tmp_path / "wider")
    change(folder, base_model_name_or_path="wider")
    with pytest.raises(SpecError, match="changes a matrix"):
        open_initial_weights(folder, "the adapter")


def test_a_run_without_adapters_has_none_to_export(tmp_path: Path) -> None:
    spec = small()
    saved = write_checkpoint(tmp_path, spec, arrays(WholeModel(spec)))
    with pytest.raises(ArchitectureError, match="has no adapters"):
        export_adapters(saved, tmp_path / "exported")


def test_an_exported_adapter_is_imported_as_it_was(tmp_path: Path) -> None:
    folder = saved_adapter(tmp_path)
    saved = open_checkpoint(tmp_path / "adapters" / "step-00000001")
    spec = parse(saved.manifest["spec"])
    weights = open_initial_weights(folder, "the adapter")
    assert weights.continues_adapters(spec)
    before = adapters_of_checkpoint(spec, saved.shards)
    for key in before.scales:
        for letter in "AB":
            name = key.parameter(letter)
            assert (weights.parameter(name) == before.parameter(name)).all()
