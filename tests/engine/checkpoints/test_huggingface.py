"""Export to Hugging Face folders, import from them, compared with transformers."""

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

from engine.checkpoints.huggingface.architectures import ArchitectureError, find_family
from engine.checkpoints.huggingface.export import export
from engine.checkpoints.huggingface.read import HuggingFaceFolder
from engine.rank.model.build import WholeModel
from engine.spec.parts import Model
from engine.spec.spec import Spec, parse
from tests.engine.checkpoints.sample_checkpoints import small, write_checkpoint

LLAMA = {"positions": "rotary", "norm": "rmsnorm", "feed_forward": "swiglu", "biases": False}
MODELS: dict[str, dict[str, Any]] = {
    "GPT-2": {},
    "GPT-2, tied": {"tied_embeddings": True},
    "Llama, grouped heads": LLAMA | {"kv_heads": 2},
    "Llama, tied, with biases": LLAMA | {"tied_embeddings": True, "biases": True},
}
TOLERANCE = 1e-5  # of a logit, in fp32
IDS = torch.randint(0, 256, (2, 16), generator=torch.Generator().manual_seed(1))


def build_model(spec: Spec) -> WholeModel:
    """Build a model with weights far from their initial values, so that a misplaced bias or norm changes the result."""
    model, random = WholeModel(spec), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.1)
    return model.eval()


def arrays(model: WholeModel) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


@torch.no_grad()
def logits(model: Any) -> Tensor:
    out = model(IDS)
    return out if isinstance(out, Tensor) else out.logits


def load_transformers_model(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_computes_the_same_in_transformers(name: str, tmp_path: Path) -> None:
    spec = small(**MODELS[name])
    model = build_model(spec)
    export(write_checkpoint(tmp_path, spec, arrays(model)), tmp_path / "out")
    exported = load_transformers_model(tmp_path / "out")
    assert (logits(model) - logits(exported)).abs().max() < TOLERANCE
    assert logits(model).std() > 0.1, "the logits must differ for this test to show anything"


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_is_read_back_bit_by_bit(name: str, tmp_path: Path) -> None:
    spec = small(**MODELS[name])
    weights = arrays(build_model(spec))
    export(write_checkpoint(tmp_path, spec, weights), tmp_path / "out")
    back = HuggingFaceFolder(tmp_path / "out")
    assert set(back.names()) == set(weights)
    assert all(np.array_equal(back.whole(name), values) for name, values in weights.items())
    assert (Model(**{"dropout": 0.0} | back.fields), back.vocab_size, back.tokenizer) == (
        spec.model,
        256,
        "bytes",
    )


def test_the_exported_tokenizer_is_that_of_the_run(tmp_path: Path) -> None:
    spec = small()
    export(write_checkpoint(tmp_path, spec, arrays(build_model(spec))), tmp_path / "out")
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
def test_a_folder_written_by_transformers_gives_the_same_logits_here(
    config: Any, dtype: torch.dtype, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    transformers.AutoModelForCausalLM.from_config(config).to(dtype).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    folder = HuggingFaceFolder(tmp_path)
    spec = parse({"model": folder.fields, "data": {"tokenizer": "bytes"}})
    model = WholeModel(spec).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(folder.whole(name)))
    assert (logits(model) - logits(load_transformers_model(tmp_path))).abs().max() < TOLERANCE


def test_the_safetensors_library_reads_the_exported_file(tmp_path: Path) -> None:
    spec = small()
    weights = arrays(build_model(spec))
    export(write_checkpoint(tmp_path, spec, weights), tmp_path / "out")
    read = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(read["transformer.wte.weight"], torch.from_numpy(weights["0.token.weight"]))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"positions": "sinusoidal"}, "GPT-2 needs positions learned instead of sinusoidal"),
        ({"biases": False, "kv_heads": 2}, "OPT needs kv_heads 4 instead of 2"),
        ({"kv_heads": 2}, "GPT-2 needs kv_heads 4 instead of 2"),
        (LLAMA | {"positions": "learned"}, "Llama needs positions rotary instead of learned"),
        ({"family": "encoder"}, "GPT-2 needs family decoder instead of encoder"),
        (LLAMA | {"norm_epsilon": 1e-6, "parallel_residual": True}, "parallel_residual off instead of on"),
    ],
)
def test_a_model_of_no_supported_family_is_refused_with_the_mismatches(
    model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArchitectureError, match=message):
        find_family(small(**model).model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "its model type is 'mamba' .field model_type.: it is recurrent"),
        ({"model_type": "unheard"}, "its model type is 'unheard'; the supported types are gpt2, llama"),
        (
            {"activation_function": "tanh"},
            "its activation_function is 'tanh'; the supported values are gelu_new",
        ),
        (
            {"scale_attn_by_inverse_layer_idx": True},
            "inverse_layer_idx is True; the supported value is False",
        ),
        ({"n_layer": 3}, "it has no tensor transformer.h.2.ln_1.weight"),
    ],
)
def test_an_unsupported_folder_is_refused_with_the_reason(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    spec = small()
    export(write_checkpoint(tmp_path, spec, arrays(build_model(spec))), tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    values = json.loads(config.read_text()) | changes
    config.write_text(json.dumps(values))
    with pytest.raises(ArchitectureError, match=message):
        HuggingFaceFolder(tmp_path / "out")
