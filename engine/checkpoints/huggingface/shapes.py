"""Shapes of the tensors in a Hugging Face folder, by their names."""

from __future__ import annotations

from engine.spec.parts import Model

CONVOLUTIONS = ("c_attn", "c_proj", "c_fc")  # GPT-2's Conv1D stores [in, out], so the bias has the last size


def get_shape(hf_name: str, model: Model, vocab_size: int) -> tuple[int, ...]:
    """Return the shape of a tensor that a mapping of engine.checkpoints.huggingface.architectures names."""
    *parents, module, leaf = hf_name.split(".")
    width, hidden = model.width, model.ffn_width
    keys = width // model.heads * model.num_kv_heads
    weights = {
        "wte": (vocab_size, width), "embed_tokens": (vocab_size, width), "lm_head": (vocab_size, width),
        "wpe": (model.context, width), "c_attn": (width, 3 * width), "c_fc": (width, hidden),
        "c_proj": (width if parents and parents[-1] == "attn" else hidden, width),
        "q_proj": (width, width), "k_proj": (keys, width), "v_proj": (keys, width), "o_proj": (width, width),
        "gate_proj": (hidden, width), "up_proj": (hidden, width), "down_proj": (width, hidden),
    }  # fmt: skip
    shape: tuple[int, ...] = weights.get(module, (width,))  # else a norm
    if leaf == "weight":
        return shape
    return shape[-1:] if module in CONVOLUTIONS else shape[:1]
