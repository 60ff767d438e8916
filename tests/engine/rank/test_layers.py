"""The decoder: parameter counts, initial weights, attention against the formula, the loss."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from engine import arithmetic
from engine.data.batches import IGNORED
from engine.presets import PRESETS, preset
from engine.rank.layers import Attention, Decoder, build_layer, layer_kinds, loss_of
from engine.spec import Spec
from tests.engine.rank.attempts import tiny


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_as_many_as_the_arithmetic_says(name: str) -> None:
    spec = preset(name)
    with torch.device("meta"):
        layers = [kind(spec) for kind in layer_kinds(spec)]
    counts = [sum(parameter.numel() for parameter in layer.parameters()) for layer in layers]
    assert counts == arithmetic.layer_parameters(spec)
    assert sum(counts) == arithmetic.parameters(spec)


def test_every_layer_has_weights_of_its_own_seed() -> None:
    spec = tiny()
    before = torch.get_rng_state()
    first, again, other_seed = (build_layer(s, 1) for s in (spec, spec, _seeded(2)))
    assert torch.equal(torch.get_rng_state(), before), (
        "building must not use up the random numbers of dropout"
    )
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.up.weight, other_seed.up.weight)
    assert not torch.equal(first.up.weight, build_layer(spec, 2).up.weight)


def _seeded(seed: int) -> Spec:
    return tiny().model_copy(update={"seed": seed})


def test_initial_weights_have_the_spread_of_gpt_2() -> None:
    block = build_layer(tiny(model={"layers": 8, "width": 256, "ffn_width": 1024}), 3)
    assert block.up.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert block.down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.02)
    assert torch.equal(block.attention_norm.weight, torch.ones(256))
    assert not block.up.bias.any()


def test_a_layer_of_the_decoder_is_named_by_its_index() -> None:
    names = {name.split(".")[0] for name, _ in Decoder(tiny()).named_parameters()}
    assert names == {"0", "1", "2", "3", "4"}


def test_attention_is_softmax_of_scaled_products_times_values() -> None:
    spec = tiny()
    torch.manual_seed(3)
    attention = Attention(spec).eval()
    x_BSH = torch.randn(2, 16, 32)
    q, k, v = attention.query_key_value(x_BSH).split(32, dim=-1)

    def heads(t: torch.Tensor) -> torch.Tensor:
        return t.view(2, 16, 2, 16).transpose(1, 2)

    scores_BASS = heads(q) @ heads(k).transpose(-1, -2) / math.sqrt(16)
    future_SS = torch.ones(16, 16, dtype=torch.bool).triu(1)
    weights_BASS = scores_BASS.masked_fill(future_SS, float("-inf")).softmax(-1)
    expected = attention.output((weights_BASS @ heads(v)).transpose(1, 2).reshape(2, 16, 32))
    torch.testing.assert_close(attention(x_BSH), expected, rtol=1e-5, atol=1e-6)


def test_no_position_sees_a_later_token() -> None:
    model = Decoder(tiny()).eval()
    ids = torch.randint(0, 256, (1, 16))
    changed = ids.clone()
    changed[0, 10] = (changed[0, 10] + 1) % 256
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10], rtol=0, atol=1e-6)
    assert not torch.allclose(before[:, 10:], after[:, 10:])


def test_recomputing_changes_no_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        model = Decoder(tiny(parallel={"activation_checkpointing": "full" if recompute else "none"}))
        torch.manual_seed(5)
        ids = torch.randint(0, 256, (2, 17))
        loss_of(model(ids[:, :-1]), ids[:, 1:]).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=0, atol=0)


def test_the_loss_is_the_mean_and_padding_only_shrinks_it_by_its_share() -> None:
    torch.manual_seed(7)
    logits, targets = torch.randn(4, 16, 256), torch.randint(0, 256, (4, 16))
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss_of(logits, targets), expected)
    padded = targets.clone()
    padded[3] = IGNORED
    real = F.cross_entropy(logits[:3].flatten(0, 1), targets[:3].flatten())
    torch.testing.assert_close(loss_of(logits, padded), real * 3 / 4)
