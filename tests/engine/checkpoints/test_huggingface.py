"""What we export, Hugging Face's own library loads and computes alike; what it writes, we read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from engine.checkpoints.huggingface.export import export
from engine.checkpoints.huggingface.read import Folder
from engine.checkpoints.huggingface.shapes import ShapeError, shape_of
from engine.rank.model.build import Whole
from engine.spec.parts import Model
from engine.spec.spec import Spec, parse
from tests.engine.checkpoints.made import small, write_checkpoint

LLAMA = {"positions": "rotary", "norm": "rmsnorm", "feed_forward": "swiglu", "biases": False}
MODELS: dict[str, dict[str, Any]] = {
    "GPT-2": {},
    "GPT-2, tied": {"tied_embeddings": True},
    "Llama, grouped heads": LLAMA | {"kv_heads": 2},
    "Llama, tied, with biases": LLAMA | {"tied_embeddings": True, "biases": True},
}
TOLERANCE = 1e-5  # of a logit, in fp32
IDS = torch.randint(0, 256, (2, 16), generator=torch.Generator().manual_seed(1))


def model_of(spec: Spec) -> Whole:
    """With weights far from those it begins with: a bias or a norm in the wrong place must show."""
    model, random = Whole(spec), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.1)
    return model.eval()


def arrays(model: Whole) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


@torch.no_grad()
def logits(model: Any) -> Tensor:
    out = model(IDS)
    return out if isinstance(out, Tensor) else out.logits


def loaded(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_computes_the_same_in_transformers(name: str, tmp_path: Path) -> None:
    spec = small(**MODELS[name])
    ours = model_of(spec)
    export(write_checkpoint(tmp_path, spec, arrays(ours)), tmp_path / "out")
    theirs = loaded(tmp_path / "out")
    assert (logits(ours) - logits(theirs)).abs().max() < TOLERANCE
    assert logits(ours).std() > 0.1, "logits that are all alike would show nothing"


@pytest.mark.parametrize("name", MODELS)
def test_what_was_exported_comes_back_bit_by_bit(name: str, tmp_path: Path) -> None:
    spec = small(**MODELS[name])
    weights = arrays(model_of(spec))
    export(write_checkpoint(tmp_path, spec, weights), tmp_path / "out")
    back = Folder(tmp_path / "out")
    assert set(back.names()) == set(weights)
    assert all(np.array_equal(back.whole(name), values) for name, values in weights.items())
    assert (Model(**{"dropout": 0.0} | back.fields), back.vocab_size, back.tokenizer) == (
        spec.model,
        256,
        "bytes",
    )


def test_the_exported_tokenizer_is_the_runs(tmp_path: Path) -> None:
    spec = small()
    export(write_checkpoint(tmp_path, spec, arrays(model_of(spec))), tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "def f(x):\n\treturn 'ümlaut', 雪"
    assert tokenizer(text)["input_ids"] == list(text.encode())
    assert tokenizer.decode(list(text.encode())) == text


GPT2_CONFIG = transformers.GPT2Config(
    vocab_size=256, n_positions=16, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
)
LLAMA_CONFIG = transformers.LlamaConfig(
    vocab_size=256, max_position_embeddings=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, intermediate_size=48, rms_norm_eps=1e-5,
)  # fmt: skip


@pytest.mark.parametrize("config", [GPT2_CONFIG, LLAMA_CONFIG], ids=["GPT-2", "Llama"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_folder_that_transformers_has_written_computes_the_same_here(
    config: Any, dtype: torch.dtype, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    transformers.AutoModelForCausalLM.from_config(config).to(dtype).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    folder = Folder(tmp_path)
    spec = parse({"model": folder.fields, "data": {"tokenizer": "bytes"}})
    ours = Whole(spec).eval()
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(torch.from_numpy(folder.whole(name)))
    assert (logits(ours) - logits(loaded(tmp_path))).abs().max() < TOLERANCE


def test_the_file_is_what_the_library_reads(tmp_path: Path) -> None:
    spec = small()
    weights = arrays(model_of(spec))
    export(write_checkpoint(tmp_path, spec, weights), tmp_path / "out")
    read = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(read["transformer.wte.weight"], torch.from_numpy(weights["0.token.weight"]))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"positions": "sinusoidal"}, "GPT-2 would need positions learned instead of sinusoidal"),
        ({"biases": False}, "GPT-2 would need biases on instead of off"),
        ({"kv_heads": 2}, "GPT-2 would need kv_heads 4 instead of 2"),
        (LLAMA | {"positions": "learned"}, "Llama would need positions rotary instead of learned"),
        ({"family": "encoder"}, "Llama would need family decoder instead of encoder"),
    ],
)
def test_a_model_of_neither_shape_is_refused_with_what_is_missing(model: dict[str, Any], said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        shape_of(small(**model).model)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "mamba"}, "its model type is 'mamba'; gpt2 and llama are read here"),
        ({"activation_function": "relu"}, "its activation_function is relu; models here have gelu_new"),
        ({"n_layer": 3}, "it has no tensor transformer.h.2.ln_1.weight"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_with_the_reason(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    spec = small()
    export(write_checkpoint(tmp_path, spec, arrays(model_of(spec))), tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    values = json.loads(config.read_text()) | changes
    config.write_text(json.dumps(values))
    with pytest.raises(ShapeError, match=said):
        Folder(tmp_path / "out")
