"""Training on chats with a published tokenizer, packed, in several layouts and from a checkpoint."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoints.huggingface.export import export
from engine.checkpoints.huggingface.read import HuggingFaceFolder
from engine.checkpoints.initial_weights import open_initial_weights
from engine.data.tokenizer_files import KEPT
from engine.directory import find_checkpoints
from engine.spec.spec import Spec
from tests.engine.data.published_tokenizers import draw_texts, make_folder
from tests.engine.data.templates import CHATML, TEMPLATES, without_tags
from tests.engine.rank.attempts import Attempt, Forker, tiny, write_attempt

pytestmark = pytest.mark.ranks

STEPS = 12
LAYOUTS: dict[str, dict[str, int]] = {
    "DP2 ZeRO 1": {"data": 2, "zero_stage": 1}, "PP2": {"stages": 2}, "TP2": {"tensor": 2},
    "DP2 ZeRO 3": {"data": 2, "zero_stage": 3},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def chats(rank_data_dir: Path) -> None:
    draw = random.Random(3)
    rows = []
    for number in range(120):
        turns = [("user", f"{number} plus {draw.randint(0, 9)}"), ("assistant", "x" * draw.randint(1, 30))]
        rows.append(
            {"messages": [{"role": role, "content": text} for role, text in turns * draw.randint(1, 2)]}
        )
    (rank_data_dir / "chats.jsonl").write_text("\n".join(map(json.dumps, rows)))
    make_folder(rank_data_dir / "own", "bpe", chat_template=without_tags(CHATML))


def spec_for(layout: dict[str, int], **budget: Any) -> Spec:
    return tiny(
        model={"context": 128},
        data={"corpus": "chats.jsonl", "objective": "chat", "tokenizer": "pretrained", "tokenizer_path": "own",
              "vocab_size": 704, "packing": True, "validation_share": 0.1},
        parallel=layout, budget={"steps": STEPS} | budget,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reference(forker: Forker, rank_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Attempt:
    folder = tmp_path_factory.mktemp("reference")
    directory = write_attempt(folder, spec_for({}, checkpoint_every=6, keep_checkpoints=4), rank_data_dir)
    return forker.start(directory).succeeded()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_chats_have_the_losses_of_one_rank(
    layout: str, reference: Attempt, start: Callable[..., Attempt]
) -> None:
    found = start(spec_for(LAYOUTS[layout])).succeeded()
    assert list(found.series("loss")) == list(range(1, STEPS + 1))
    expected = reference.series("loss")
    for step, loss in found.series("loss").items():
        assert loss == pytest.approx(expected[step], rel=1e-4)
    held_out = [
        [line.metrics["validation_loss"] for line in run.lines("validation")] for run in (found, reference)
    ]
    assert held_out[0] == pytest.approx(held_out[1], rel=1e-4)
    assert expected[STEPS] < expected[1]


def test_a_checkpoint_holds_the_tokenizer_and_resumes_without_its_folder(
    reference: Attempt, start: Callable[..., Attempt], rank_data_dir: Path
) -> None:
    [first, *_] = sorted(find_checkpoints(reference.directory.checkpoints), key=lambda path: path.name)
    assert {path.name for path in first.iterdir()} >= {"tokenizer.json", "tokenizer_config.json"} <= set(KEPT)
    assert "im_start" in json.loads((first / "tokenizer_config.json").read_text())["chat_template"]
    (rank_data_dir / "own").rename(rank_data_dir / "away")
    try:
        again = start(spec_for({}), resume_from=first).succeeded()
    finally:
        (rank_data_dir / "away").rename(rank_data_dir / "own")
    expected = reference.series("loss")
    assert again.series("loss") == {step: loss for step, loss in expected.items() if step > 6}


def test_an_imported_folder_trains_with_its_own_tokenizer_and_is_exported_with_it(
    start: Callable[..., Attempt], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    source, target = tmp_path / "llama", tmp_path / "exported"
    config = LlamaConfig(
        vocab_size=1280, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(source)
    make_folder(source, "byte_fallback", chat_template=without_tags(TEMPLATES["Llama 2"]))
    spec = tiny(
        model=HuggingFaceFolder(source).fields | {"context": 128},
        data={"corpus": "chats.jsonl", "objective": "chat", "tokenizer": "pretrained", "vocab_size": 1280,
              "packing": True, "validation_share": 0.1},
        budget={"steps": 3},
    )  # fmt: skip
    assert open_initial_weights(source, "it").origin.tokenizer == "pretrained"
    open_initial_weights(source, "it").refuse_misfit(spec)
    attempt = start(spec.model_copy(update={"start_from": "llama"}), start_from=source).succeeded()
    export(attempt.directory.newest_checkpoint(), target)
    before, after = (AutoTokenizer.from_pretrained(path) for path in (source, target))
    texts = draw_texts(100, seed=5)
    assert before(texts)["input_ids"] == after(texts)["input_ids"]
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert before.apply_chat_template(chat) == after.apply_chat_template(chat)
    assert AutoModelForCausalLM.from_pretrained(target).config.eos_token_id == 2
