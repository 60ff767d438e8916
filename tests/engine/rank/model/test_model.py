"""Model: parameter counts, initial weights, attention masks, checkpointing, loss."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.batches import IGNORED
from engine.model_math import counts as arithmetic
from engine.rank.model.build import WholeModel, build_layer, get_layer_class
from engine.rank.model.loss import Loss, cross_entropy
from engine.rank.model.tensor_parallel import UNSHARDED, TensorShard, collect_splits
from engine.spec.checks import OBJECTIVES
from engine.spec.parts import Data
from engine.spec.presets import PRESETS, preset
from engine.spec.spec import Spec
from tests.engine.rank.attempts import tiny
from tests.engine.rank.shapes import FAMILIES, random_inputs, spec_for_family


@pytest.mark.parametrize("spec", [preset(name) for name in PRESETS], ids=PRESETS)
def test_a_preset_has_the_computed_number_of_parameters(spec: Spec) -> None:
    counts = _counts(spec, UNSHARDED)
    if arithmetic.is_tied(spec):
        counts[-1] = 0  # shared with the embedding
    assert counts == arithmetic.layer_parameters(spec)
    assert sum(counts) == arithmetic.parameters(spec)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_the_computed_number_of_parameters(name: str) -> None:
    spec = spec_for_family(name)
    assert sum(p.numel() for p in WholeModel(spec).parameters()) == arithmetic.parameters(spec)
    for tensor in (1, 2):
        expected = [
            arithmetic.count_of(spec, kind).on_a_rank(tensor) for kind in arithmetic.layer_kinds(spec)
        ]
        if spec.model.num_kv_heads % tensor == 0:
            assert _counts(spec, TensorShard(0, tensor)) == expected


def _counts(spec: Spec, shard: TensorShard) -> list[int]:
    with torch.device("meta"):
        layers = [
            get_layer_class(spec, index)(spec, shard) for index in range(len(arithmetic.layer_kinds(spec)))
        ]
    return [sum(parameter.numel() for parameter in layer.parameters()) for layer in layers]


def test_every_stage_has_a_block_and_every_layer_a_stage() -> None:
    for name in FAMILIES:
        for stages in (1, 2, 3):
            spec = spec_for_family(name, model={"layers": 3}, parallel={"stages": stages})
            kinds, bounds = arithmetic.layer_kinds(spec), arithmetic.stage_bounds(spec)
            assert [index for start, end in bounds for index in range(start, end)] == list(range(len(kinds)))
            assert all(any(kind.endswith("_block") for kind in kinds[start:end]) for start, end in bounds)


def test_each_objective_has_a_family() -> None:
    served = {objective for objectives in OBJECTIVES.values() for objective in objectives}
    assert served == set(get_args(Data.model_fields["objective"].annotation))


def test_every_layer_is_initialised_from_its_own_seed() -> None:
    spec = tiny()
    before = torch.get_rng_state()
    first, again, other_seed = (build_layer(s, 1) for s in (spec, spec, _seeded(2)))
    assert torch.equal(torch.get_rng_state(), before), (
        "building must not change the random state that dropout uses"
    )
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    up = first.feed_forward.up.weight
    assert not torch.equal(up, other_seed.feed_forward.up.weight)
    assert not torch.equal(up, build_layer(spec, 2).feed_forward.up.weight)


def _seeded(seed: int) -> Spec:
    return tiny().model_copy(update={"seed": seed})


def test_initial_weights_have_the_standard_deviation_of_gpt_2() -> None:
    block = build_layer(tiny(model={"layers": 8, "width": 256, "ffn_width": 1024}), 3)
    assert block.feed_forward.up.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert block.feed_forward.down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.02)
    assert torch.equal(block.attention_norm.weight, torch.ones(256))
    assert not block.feed_forward.up.bias.any()


def test_a_layer_is_named_by_its_index() -> None:
    names = {name.split(".")[0] for name, _ in WholeModel(tiny()).named_parameters()}
    assert names == {"0", "1", "2", "3", "4"}


def test_a_tied_head_is_the_token_embedding_and_has_equal_weights_on_another_stage() -> None:
    spec = spec_for_family("GPT-2, tied")
    model = WholeModel(spec)
    assert model.get_submodule("4").weight is model.get_submodule("0").token.weight
    assert torch.equal(build_layer(spec, 4).weight, model.get_submodule("0").token.weight)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_joined_shards_of_two_tensor_ranks_equal_the_whole_layer(name: str) -> None:
    spec = spec_for_family(name, model={"heads": 4} if name != "sinusoidal" else {"kv_heads": 2})
    index = next(i for i, kind in enumerate(arithmetic.layer_kinds(spec)) if kind.endswith("_block"))
    whole, shares = build_layer(spec, index), [build_layer(spec, index, TensorShard(r, 2)) for r in (0, 1)]
    splits = collect_splits(whole)
    assert {"attention.query_key_value.weight", "feed_forward.down.weight"} <= set(splits)
    for key, parameter in whole.named_parameters():
        parts = [share.get_parameter(key).detach() for share in shares]
        joined = splits[key].join(parts) if key in splits else parts[0]
        assert torch.equal(joined, parameter)
        assert all(share.get_parameter(key).tensor_model_parallel == (key in splits) for share in shares)


@pytest.mark.parametrize("name", ["GPT", "Llama", "T5", "modern pairs"])
def test_no_position_attends_to_a_later_token(name: str) -> None:
    spec = spec_for_family(name)
    model, inputs = WholeModel(spec).eval(), random_inputs(spec)
    ids = inputs if isinstance(inputs, Tensor) else inputs[-1]
    changed = ids.clone()
    changed[0, 10] = (changed[0, 10] + 1) % 256
    before, after = model(inputs), model(changed if isinstance(inputs, Tensor) else (inputs[0], changed))
    assert torch.equal(before[0, :10], after[0, :10])
    assert not torch.equal(before[0, 10:], after[0, 10:])


@pytest.mark.parametrize("name", ["BERT", "classifier", "T5", "modern pairs"])
def test_padding_does_not_change_the_output(name: str) -> None:
    spec = spec_for_family(name)
    model, inputs = WholeModel(spec).eval(), random_inputs(spec)
    if isinstance(inputs, Tensor):
        whole, alone = model(inputs)[1], model(inputs[1:, :8])[0]
        whole = whole[:8] if whole.dim() == 2 else whole
    else:
        whole, alone = model(inputs)[1], model((inputs[0][1:, :8], inputs[1][1:]))[0]
    torch.testing.assert_close(whole, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["BERT", "T5"])
def test_an_encoder_attends_in_both_directions(name: str) -> None:
    spec = spec_for_family(name)
    model, inputs = WholeModel(spec).eval(), random_inputs(spec)
    source = inputs if isinstance(inputs, Tensor) else inputs[0]
    changed = source.clone()
    changed[0, 15] = (changed[0, 15] + 1) % 256
    before, after = model(inputs), model(changed if isinstance(inputs, Tensor) else (changed, inputs[1]))
    assert not torch.equal(before[0, 0], after[0, 0])


@pytest.mark.parametrize("name", ["GPT", "Llama", "BERT", "T5"])
def test_activation_checkpointing_does_not_change_gradients(name: str) -> None:
    gradients = []
    for recompute in ("none", "selective", "full"):
        spec = spec_for_family(name, parallel={"activation_checkpointing": recompute}, model={"dropout": 0.1})
        model = WholeModel(spec)
        torch.manual_seed(5)
        model(random_inputs(spec)).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for recomputed in gradients[1:]:
        for plain, again in zip(gradients[0], recomputed, strict=True):
            torch.testing.assert_close(plain, again, rtol=0, atol=0)


@pytest.mark.parametrize(("recompute", "less"), [("selective", 0.75), ("full", 0.2)])
def test_activation_checkpointing_saves_fewer_tensors_for_the_backward_pass(
    recompute: str, less: float
) -> None:
    held = {}
    for chosen in ("none", recompute):
        model, held[chosen] = WholeModel(tiny(parallel={"activation_checkpointing": chosen})), 0

        def count(tensor: Tensor, chosen: str = chosen) -> Tensor:
            held[chosen] += tensor.numel()
            return tensor

        stream = model.get_submodule("0")(torch.zeros(2, 16, dtype=torch.int64))
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            model.get_submodule("1")(stream)
    assert held[recompute] < less * held["none"]


def test_the_corrected_loss_is_the_mean_over_real_targets() -> None:
    torch.manual_seed(7)
    logits, targets = torch.randn(4, 16, 256), torch.randint(0, 256, (4, 16))
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(cross_entropy(logits, targets), expected)
    padded = targets.clone()
    padded[3] = IGNORED
    real = F.cross_entropy(logits[:3].flatten(0, 1), targets[:3].flatten())
    loss = Loss(0.0)
    loss.set_training(4 / 3)
    torch.testing.assert_close(loss(logits, padded), real)
    classes = torch.randn(4, 5), torch.tensor([0, 4, 2, 1])
    torch.testing.assert_close(cross_entropy(*classes), F.cross_entropy(*classes))


def test_labels_are_smoothed_in_training_and_not_in_validation() -> None:
    torch.manual_seed(7)
    logits, targets, loss = torch.randn(4, 5), torch.tensor([0, 4, 2, 1]), Loss(0.1)
    log_p = logits.log_softmax(-1)
    plain = -log_p[range(4), targets].mean()
    torch.testing.assert_close(loss(logits, targets), 0.9 * plain - 0.1 * log_p.mean())
    loss.set_evaluation(1.0)
    torch.testing.assert_close(loss(logits, targets), plain)
