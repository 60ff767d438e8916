"""The decoder as one ordered list of layers: embedding, blocks, norm, head.

Every layout (plain, ZeRO, pipeline) is made from this list and names each layer by its place in it. Each layer is
initialised from a seed of its own, so the same spec starts from the same weights however it is cut.

Shapes: B sequences of a micro-batch, S tokens of a sequence, H width, A heads, D = H / A, F feed-forward width,
V vocabulary.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.data.batches import IGNORED
from engine.spec import Spec

INIT_STD = 0.02  # GPT-2's


class Embed(nn.Module):
    """Token plus learned position embedding: [B, S] ids -> [B, S, H]."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.token = nn.Embedding(spec.vocab_size, spec.model.width)
        self.position = nn.Embedding(spec.model.context, spec.model.width)
        self.dropout = nn.Dropout(spec.model.dropout)

    def forward(self, ids_BS: Tensor) -> Tensor:
        places_S = torch.arange(ids_BS.shape[1], device=ids_BS.device)
        return self.dropout(self.token(ids_BS) + self.position(places_S))


class Attention(nn.Module):
    """Causal multi-head attention, softmax(Q K^T / sqrt(D)) V (Vaswani et al., arXiv 1706.03762, eq. 1)."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.heads, self.dropout = spec.model.heads, spec.model.dropout
        self.query_key_value = nn.Linear(spec.model.width, 3 * spec.model.width)
        self.output = nn.Linear(spec.model.width, spec.model.width)

    def forward(self, x_BSH: Tensor) -> Tensor:
        b, s, h = x_BSH.shape
        qkv_B3ASD = (
            self.query_key_value(x_BSH).view(b, s, 3, self.heads, h // self.heads).permute(0, 2, 3, 1, 4)
        )
        q_BASD, k_BASD, v_BASD = qkv_B3ASD.unbind(1)
        dropout = self.dropout if self.training else 0.0
        out_BASD = F.scaled_dot_product_attention(q_BASD, k_BASD, v_BASD, dropout_p=dropout, is_causal=True)
        return self.output(out_BASD.transpose(1, 2).reshape(b, s, h))


class Block(nn.Module):
    """Pre-norm block: attention, then feed-forward, each added to the residual stream [B, S, H]."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        width = spec.model.width
        self.recompute = spec.parallel.activation_checkpointing == "full"
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(spec)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, spec.model.ffn_width)
        self.down = nn.Linear(spec.model.ffn_width, width)
        self.dropout = nn.Dropout(spec.model.dropout)

    def forward(self, x_BSH: Tensor) -> Tensor:
        if self.recompute and self.training:
            return checkpoint(self._forward, x_BSH, use_reentrant=False)
        return self._forward(x_BSH)

    def _forward(self, x_BSH: Tensor) -> Tensor:
        x_BSH = x_BSH + self.dropout(self.attention(self.attention_norm(x_BSH)))
        hidden_BSF = F.gelu(self.up(self.feed_forward_norm(x_BSH)), approximate="tanh")
        return x_BSH + self.dropout(self.down(hidden_BSF))


class Norm(nn.LayerNorm):
    """The last norm: [B, S, H] -> [B, S, H]."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec.model.width)


class Head(nn.Linear):
    """Logits: [B, S, H] -> [B, S, V]. Untied from the embedding, no bias."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec.model.width, spec.vocab_size, bias=False)


def layer_kinds(spec: Spec) -> list[type[nn.Module]]:
    """The model: one class per layer, in order."""
    return [Embed, *[Block] * spec.model.layers, Norm, Head]


def build_layer(spec: Spec, index: int) -> nn.Module:
    """Layer `index` with its initial weights, on the CPU in fp32; torch's random state is left as it was."""
    with torch.device("meta"):
        layer = layer_kinds(spec)[index](spec)
    layer.to_empty(device="cpu")
    random = torch.Generator().manual_seed(spec.seed + index)
    residual_std = INIT_STD / math.sqrt(
        2 * spec.model.layers
    )  # GPT-2: keeps the stream's variance over depth
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if parameter.dim() >= 2:
                into_stream = name in ("attention.output.weight", "down.weight")
                parameter.normal_(0.0, residual_std if into_stream else INIT_STD, generator=random)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return layer


class Decoder(nn.Module):
    """The whole list as one module for plain and ZeRO engines; layers are named "0", "1", ... as in a pipeline."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        for index in range(len(layer_kinds(spec))):
            self.add_module(str(index), build_layer(spec, index))

    def forward(self, ids_BS: Tensor) -> Tensor:
        x = ids_BS
        for layer in self.children():
            x = layer(x)
        return x


def loss_of(logits_BSV: Tensor, targets_BS: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over real targets and divided by all B x S slots. Without padding that is the
    mean; with padding, the mean over micro-batches stays right after one correction at the end."""
    flat = logits_BSV.float().flatten(0, 1)
    return (
        F.cross_entropy(flat, targets_BS.flatten(), ignore_index=IGNORED, reduction="sum")
        / targets_BS.numel()
    )
