"""Every family: imported, trained, exported, and compared with transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from engine.checkpoints.huggingface.architectures import FAMILIES, find_family, find_misfits
from engine.checkpoints.huggingface.export import export
from engine.checkpoints.huggingface.read import HuggingFaceFolder
from engine.data.special_tokens import PADDING
from engine.model_math import counts
from engine.rank.model.build import WholeModel
from engine.spec.checks import refuse_impossible
from engine.spec.spec import Spec, parse
from tests.engine.checkpoints.families.draws import CONTEXT, DRAWS, VOCABULARY, draw_config
from tests.engine.checkpoints.sample_checkpoints import write_checkpoint

SEEDS = range(3)
TOLERANCE = 1e-4  # of a logit, in fp32
LOSS_TOLERANCE = 1e-5
STEPS, ROWS = 20, 4
EPSILON = 1e-4  # AdamW makes a full step of a gradient that is rounding alone unless this is larger
OBJECTIVES = {"encoder": "masked", "encoder-decoder": "pairs", "decoder": "next_token"}
LOADERS = {
    "encoder": transformers.AutoModelForMaskedLM,
    "encoder-decoder": transformers.AutoModelForSeq2SeqLM,
    "decoder": transformers.AutoModelForCausalLM,
}
CASES = [pytest.param(kind, seed, id=f"{kind}-{seed}") for kind in DRAWS for seed in SEEDS]


def write_folder(config: Any, folder: Path, seed: int) -> None:
    """Write a model with weights far from their initial values, so that a misplaced one changes the result."""
    torch.manual_seed(seed)
    kind = next(family for family in FAMILIES if family.model_type == config.model_type)
    model = LOADERS[kind.fixed["family"]].from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")


def load_theirs(folder: Path, family: str) -> Any:
    return LOADERS[family].from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def load_ours(folder: Path) -> tuple[Spec, WholeModel]:
    source = HuggingFaceFolder(folder)
    objective = OBJECTIVES[source.fields["family"]]
    data = {"tokenizer": "bytes", "objective": objective}
    spec = parse({"model": source.fields, "data": data, "parallel": {"data": 1}})
    refuse_impossible(spec)
    model = WholeModel(spec)
    names = {name for name, _ in model.named_parameters()}
    assert names == set(source.names())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(source.whole(name)))
    return spec, model


def draw_rows(seed: int) -> Tensor:
    """Ids without the first few, which are padding in some families."""
    return torch.randint(4, VOCABULARY, (ROWS, CONTEXT), generator=torch.Generator().manual_seed(seed))


def their_logits(model: Any, family: str, ids: Tensor) -> Tensor:
    if family == "encoder-decoder":
        return model(input_ids=ids, decoder_input_ids=ids.flip(0)[:, :-3]).logits
    return model(input_ids=ids).logits


def our_logits(model: WholeModel, family: str, ids: Tensor) -> Tensor:
    return model((ids, ids.flip(0)[:, :-3]) if family == "encoder-decoder" else ids)


def train(model: Any, logits: Any, family: str) -> list[float]:
    """Train with AdamW and return the losses."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=EPSILON, weight_decay=0.0)
    losses = []
    model.train()
    for step in range(STEPS):
        ids = draw_rows(100 + step)
        found = logits(model, family, ids)
        targets = ids.flip(0)[:, 1 : found.shape[1] + 1] if family == "encoder-decoder" else ids
        if family == "decoder":
            found, targets = found[:, :-1], ids[:, 1:]
        loss = F.cross_entropy(found.flatten(0, 1), targets[:, : found.shape[1]].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    model.eval()
    return losses


def largest_difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def test_every_family_is_drawn() -> None:
    assert {family.model_type for family in FAMILIES} == set(DRAWS)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_a_family_is_imported_trained_and_exported(kind: str, seed: int, tmp_path: Path) -> None:
    write_folder(draw_config(kind, seed), tmp_path / "in", seed)
    spec, ours = load_ours(tmp_path / "in")
    family = spec.model.family
    theirs, ids = load_theirs(tmp_path / "in", family).eval(), draw_rows(seed)
    with torch.no_grad():
        assert (
            largest_difference(our_logits(ours.eval(), family, ids), their_logits(theirs, family, ids))
            < TOLERANCE
        )
        assert their_logits(theirs, family, ids).std() > 0.05, (
            "the logits must differ for this to show anything"
        )
    assert sum(one.numel() for one in ours.parameters()) == counts.parameters(spec)

    expected, found = train(theirs, their_logits, family), train(ours, our_logits, family)
    assert expected[-1] < expected[0] + 0.5
    assert found == pytest.approx(expected, rel=LOSS_TOLERANCE)

    weights = {name: parameter.detach().numpy() for name, parameter in ours.named_parameters()}
    checkpoint = write_checkpoint(tmp_path / "checkpoints", spec, weights)
    own = next(one for one in FAMILIES if one.model_type == kind)
    assert list(find_misfits(spec.model, own)) == []
    for number, target in enumerate(dict.fromkeys((own.model_type, find_family(spec.model).model_type))):
        out = tmp_path / f"out-{number}"
        export(checkpoint, out, next(one for one in FAMILIES if one.model_type == target))
        again = load_theirs(out, family).eval()
        with torch.no_grad():
            exported, trained = their_logits(again, family, ids), our_logits(ours, family, ids)
        assert largest_difference(exported, trained) < TOLERANCE, target
        back = HuggingFaceFolder(out)
        for name, values in weights.items():
            np.testing.assert_allclose(back.whole(name), values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_padding_is_read_as_transformers_reads_it(kind: str, tmp_path: Path) -> None:
    config = draw_config(kind, 7)
    write_folder(config, tmp_path, 7)
    _, ours = load_ours(tmp_path)
    theirs, ids = load_theirs(tmp_path, "encoder").eval(), draw_rows(7)
    mask = torch.ones_like(ids)
    mask[1::2, CONTEXT // 2 :] = 0
    padded = ids.masked_fill(mask == 0, config.pad_token_id)
    with torch.no_grad():
        expected = theirs(input_ids=padded, attention_mask=mask).logits
        found = ours.eval()(ids.masked_fill(mask == 0, PADDING))
    assert largest_difference(found[mask == 1], expected[mask == 1]) < TOLERANCE


def test_an_untied_t5_keeps_its_head(tmp_path: Path) -> None:
    fields = {
        "family": "encoder-decoder", "layers": 1, "width": 32, "heads": 4, "ffn_width": 48, "context": 16,
        "positions": "relative", "norm": "rmsnorm", "norm_epsilon": 1e-6, "biases": False, "attention_scale": 1.0,
        "feed_forward": "geglu",
    }  # fmt: skip
    data = {"tokenizer": "bytes", "objective": "pairs"}
    spec = parse({"model": fields, "data": data, "parallel": {"data": 1}})
    ours, ids = WholeModel(spec).eval(), draw_rows(3)
    weights = {name: parameter.detach().numpy() for name, parameter in ours.named_parameters()}
    export(write_checkpoint(tmp_path, spec, weights), tmp_path / "out")
    theirs = load_theirs(tmp_path / "out", "encoder-decoder").eval()
    with torch.no_grad():
        expected = their_logits(theirs, "encoder-decoder", ids)
        assert largest_difference(our_logits(ours, "encoder-decoder", ids), expected) < TOLERANCE
    assert load_ours(tmp_path / "out")[0].model == spec.model
