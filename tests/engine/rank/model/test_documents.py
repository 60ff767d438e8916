"""Packed documents in a model: the loss of each by itself, and no attention across borders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.data.packing import PackedInputs, pack
from engine.data.special_tokens import IGNORED
from engine.rank.model import blocks
from engine.rank.model.build import WholeModel
from engine.rank.model.documents import document_mask
from engine.spec.spec import Spec
from tests.engine.rank.shapes import spec_for_family

NAMES = ("GPT", "Llama", "sinusoidal", "window", "Gemma 2")
WINDOWS = {"heads": 4, "positions": "rotary", "norm": "rmsnorm", "window": 5, "window_layers": "SF"}
# Fields of models beside those of tests.engine.rank.shapes
MODELS: dict[str, dict[str, Any]] = {
    "window": WINDOWS, "Gemma 2": WINDOWS | {"attention_softcap": 20.0, "norm_position": "sandwich"},
}  # fmt: skip
CONTEXT, DOCUMENTS, SEED = 64, 30, 20261201


def drawn_documents() -> list[np.ndarray]:
    draw = np.random.default_rng(SEED)
    return [draw.integers(0, 256, draw.integers(2, 40)) for _ in range(DOCUMENTS)]


def spec_of(name: str) -> Spec:
    model = MODELS.get(name, {})
    return spec_for_family("GPT" if model else name, model=model | {"context": CONTEXT})


def packed_rows(documents: list[np.ndarray]) -> tuple[PackedInputs, np.ndarray]:
    bins = pack(np.array([len(one) - 1 for one in documents]), CONTEXT)
    ids, positions = np.zeros((2, len(bins), CONTEXT), np.int64)
    targets = np.full((len(bins), CONTEXT), IGNORED)
    for row, members in enumerate(bins):
        at = 0
        for number in members:
            stop = at + len(documents[number]) - 1
            ids[row, at:stop], targets[row, at:stop] = documents[number][:-1], documents[number][1:]
            positions[row, at:stop] = np.arange(stop - at)
            at = stop
        positions[row, at:] = np.arange(CONTEXT - at)
    return PackedInputs(ids, positions), targets


def losses(model: WholeModel, inputs: object, targets: np.ndarray) -> torch.Tensor:
    given = tuple(map(torch.from_numpy, inputs)) if isinstance(inputs, tuple) else torch.from_numpy(inputs)  # type: ignore[arg-type]
    logits = model(given)
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(targets).flatten(), ignore_index=IGNORED, reduction="sum"
    )


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradients_are_those_of_the_documents_by_themselves(name: str) -> None:
    documents = drawn_documents()
    model = WholeModel(spec_of(name))
    inputs, targets = packed_rows(documents)
    packed = losses(model, inputs, targets)
    packed.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    alone = sum(losses(model, one[None, :-1].copy(), one[None, 1:]) for one in documents)
    alone.backward()
    assert packed.item() == pytest.approx(alone.item(), rel=1e-6)
    for found, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-5)


def changes_of_others(name: str) -> float:
    """How far the logits of other documents move when one document gets other tokens."""
    model = WholeModel(spec_of(name)).eval()
    inputs, _ = packed_rows(drawn_documents())
    row = int((inputs.positions == 0).sum(1).argmax())
    ids, positions = (
        torch.from_numpy(inputs.ids[row : row + 1]),
        torch.from_numpy(inputs.positions[row : row + 1]),
    )
    second = int((positions[0] == 0).nonzero()[1])
    changed = ids.clone()
    changed[0, :second] = (changed[0, :second] + 1) % 256
    with torch.no_grad():
        before, after = model((ids, positions)), model((changed, positions))
    assert (before[0, :second] - after[0, :second]).abs().max() > 1e-3
    return float((before[0, second:] - after[0, second:]).abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_no_attention_crosses_the_border_of_a_document(name: str) -> None:
    assert changes_of_others(name) == 0.0


def test_the_test_above_fails_if_attention_crosses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        blocks, "document_mask", lambda positions: torch.ones(1, 1, CONTEXT, CONTEXT).tril().bool()
    )
    assert changes_of_others("GPT") > 1e-4


def test_the_mask_is_causal_within_each_document_of_drawn_rows() -> None:
    draw = np.random.default_rng(SEED)
    for _ in range(50):
        starts = np.sort(draw.choice(np.arange(1, 20), draw.integers(0, 6), replace=False))
        parts = np.split(np.arange(20), starts)
        positions = torch.from_numpy(np.concatenate([part - part[0] for part in parts]))[None]
        expected = torch.zeros(20, 20, dtype=torch.bool)
        for part in parts:
            expected[part[0] : part[-1] + 1, part[0] : part[-1] + 1] = (
                torch.ones(len(part), len(part)).tril().bool()
            )
        assert (document_mask(positions)[0, 0] == expected).all()
