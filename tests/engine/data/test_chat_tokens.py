"""Chats as tokens: those of transformers, with the answers marked, whatever the template."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data import objectives, prepare
from engine.data.chat_template import ChatTemplate
from engine.data.chat_tokens import ChatEncoder
from engine.data.chats import Message
from engine.data.pretrained import PretrainedTokenizer
from engine.data.special_tokens import IGNORED
from engine.data.template_sandbox import TemplateError
from engine.data.tokenizers import ByteTokenizer
from engine.spec.spec import SpecError, parse
from tests.engine.data.published_tokenizers import draw_texts, make_folder
from tests.engine.data.templates import TEMPLATES, without_tags

SPECIAL = [
    "<|im_start|>",
    "<|im_end|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<s>",
    "</s>",
]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """real(kind): transformers' tokenizer of the kind, with the special tokens of all templates, and its folder."""
    from transformers import PreTrainedTokenizerFast

    made: dict[str, Any] = {}

    def get(kind: str) -> tuple[Any, Path]:
        if kind not in made:
            source = make_folder(tmp_path_factory.mktemp(kind), kind)
            tokenizer = PreTrainedTokenizerFast(
                tokenizer_file=str(source / "tokenizer.json"), bos_token="<s>", eos_token="</s>",
                additional_special_tokens=SPECIAL[:-2],
            )  # fmt: skip
            folder = source / "saved"
            tokenizer.save_pretrained(folder)
            made[kind] = tokenizer, folder
        return made[kind]

    return get


def draw_chat(draw: random.Random, texts: list[str]) -> list[Message]:
    turns = [("user", "assistant")] * draw.randint(1, 4)
    roles = [role for turn in turns for role in turn]
    if draw.random() < 0.4:
        roles.insert(0, "system")
    return [{"role": role, "content": draw.choice(texts).strip() or "x"} for role in roles]


CHATS_SEED, CHATS = 20261201, 40


@pytest.mark.parametrize("kind", ["bpe", "byte_fallback", "unigram"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_drawn_chats_have_the_tokens_and_the_mask_of_transformers(name: str, kind: str, real: Any) -> None:
    theirs, folder = real(kind)
    tokenizer, draw = PretrainedTokenizer.load(folder), random.Random(CHATS_SEED)
    texts = draw_texts(200, seed=CHATS_SEED)
    tagged = ChatEncoder(tokenizer, TEMPLATES[name])
    plain = ChatEncoder(tokenizer, without_tags(TEMPLATES[name]))
    for _ in range(CHATS):
        chat = {"messages": draw_chat(draw, texts)}
        expected = theirs.apply_chat_template(
            chat["messages"],
            chat_template=TEMPLATES[name],
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        found = tagged.encode(chat)
        assert found.tokens.tolist() == list(expected["input_ids"])
        assert found.trained.tolist() == [bool(flag) for flag in expected["assistant_masks"]]
        # Without tags the answers are found by rendering prefixes.
        without = plain.encode(chat)
        assert without.tokens.tolist() == found.tokens.tolist()
        same = without.trained == found.trained
        assert same.all() or _differ_in_white_space(tokenizer, found.tokens[~same])


def _differ_in_white_space(tokenizer: PretrainedTokenizer, tokens: Any) -> bool:
    """Llama 2's template has a blank before an answer that only the tags count as a part of it."""
    return all(not tokenizer.decode([token]).strip() for token in tokens.tolist())


def test_only_answers_with_weight_are_marked() -> None:
    for template in (None, without_tags(TEMPLATES["ChatML"])):
        encoder, text = ChatEncoder(ByteTokenizer(), template), ByteTokenizer()
        messages: list[Message] = [
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "no", "weight": 0},
            {"role": "user", "content": "b"}, {"role": "assistant", "content": "yes", "weight": 1},
        ]  # fmt: skip
        found = encoder.encode({"messages": messages})
        assert text.decode(found.tokens[found.trained]) == "yes"
        assert found.trained.sum() == 4, "the answer and the token that ends it"


def test_a_chat_that_the_template_refuses_is_left_out_with_the_reason(tmp_path: Path) -> None:
    rows = [[("user", "hi"), ("assistant", f"answer {n}")] for n in range(30)]
    rows[3] = [("user", "hi"), ("user", "again"), ("assistant", "x")]
    lines = [json.dumps({"messages": [{"role": r, "content": c} for r, c in row]}) for row in rows]
    (tmp_path / "chats.jsonl").write_text("\n".join(lines))
    make_folder(tmp_path / "own", "byte_fallback", chat_template=without_tags(TEMPLATES["Llama 2"]))
    spec = parse(
        {"data": {"corpus": "chats.jsonl", "objective": "chat", "tokenizer": "pretrained", "tokenizer_path": "own"},
         "model": {"context": 64}, "batch": {"global_batch_size": 4, "micro_batch_size": 2}}
    )  # fmt: skip
    said: list[str] = []
    prepared = prepare.prepare(spec.data, tmp_path, tmp_path / "data", said.append)
    assert prepared.meta["refused_chats"] == 1
    assert any("1 of 30 chats are left out" in text and "roles must alternate" in text for text in said)
    assert len(prepared.train) + len(prepared.validation) == 29
    (tmp_path / "chats.jsonl").write_text(lines[3])
    with pytest.raises(
        SpecError, match=r"No chat of 'chats\.jsonl' can be used; the first: .*must alternate"
    ):
        prepare.prepare(spec.data, tmp_path, tmp_path / "data")


@pytest.mark.parametrize("kind", ["chats", "pairs", "preference"])
def test_rows_of_the_objective_chat_predict_answers_alone(kind: str, tmp_path: Path) -> None:
    turns_of = ("user", "q"), ("assistant", "a")
    rows = {
        "chats": lambda n: {"messages": [{"role": role, "content": f"{text}{n}"} for role, text in turns_of]},
        "pairs": lambda n: {"instruction": f"q{n}", "output": f"a{n}"},
        "preference": lambda n: {"prompt": f"q{n}", "chosen": f"a{n}", "rejected": "no"},
    }[kind]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(rows(n)) for n in range(40)))
    spec = parse(
        {"data": {"corpus": "rows.jsonl", "objective": "chat", "tokenizer": "bytes"}, "model": {"context": 64},
         "batch": {"global_batch_size": 8, "micro_batch_size": 2}}
    )  # fmt: skip
    prepared = prepare.prepare(spec.data, tmp_path, tmp_path / "data")
    source, text = objectives.build_training(spec, prepared), ByteTokenizer()
    ids, targets = source.rows(0, 0, 8)
    for row in range(8):
        answer = targets[row][targets[row] != IGNORED]
        assert answer[-1] == text.specials.end
        turns = bytes(int(one) for one in ids[row] if 9 < one < 0xF8).decode()
        assert turns.startswith("user\nq")
        assert text.decode(answer) == "a" + turns.split("\n")[1][1:]
        first = int(np.flatnonzero(targets[row] != IGNORED)[0])
        assert bytes(ids[row][first - 9 : first + 1].astype(np.uint8)) == b"assistant\n"
    assert source.correction(0) == pytest.approx(targets.size / (targets != IGNORED).sum())


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(s='aaaa') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{% set n = namespace(s='aaaa') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "{% set n = namespace(s='aaaa') %}{% for i in range(99) %}{% set n.s = n.s.replace('a', 'aaaa') %}{% endfor %}",
        "{% set n = namespace(i=3) %}{% for i in range(99999) %}{% set n.i = n.i * n.i %}{% endfor %}",
        "{{ 'a' * 999999999 }}", "{{ [0] * 999999999 }}", "{{ '%999999999d' % 1 }}", "{{ 'a'.ljust(999999999) }}",
        "{{ '{:999999999}'.format(1) }}", "{{ 10 ** 10 ** 10 }}", "{{ messages | tojson(indent=999999999) }}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ raise_exception('no') }}", "{{ nothing.at.all }}", "{% include 'x' %}",
    ],
)  # fmt: skip
def test_a_hostile_or_failing_template_ends_with_a_reason(template: str) -> None:
    with pytest.raises(TemplateError):
        ChatTemplate(template, {}).render([{"role": "user", "content": "x"}])


def test_a_template_that_is_not_jinja_is_refused_by_its_line() -> None:
    with pytest.raises(TemplateError, match="in line 2"):
        ChatTemplate("fine\n{% if %}", {})


def test_a_rendering_is_the_same_on_every_day() -> None:
    found = ChatTemplate("{{ strftime_now('%d %b %Y') }}", {}).render([])
    assert found == "26 Jul 2024"


def test_a_template_that_hides_its_answers_is_refused() -> None:
    hiding = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}!"
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    with pytest.raises(TemplateError, match="does not show where the answers"):
        ChatEncoder(ByteTokenizer(), hiding).encode(chat)


def test_calls_of_tools_are_rendered_with_arguments_as_objects(tmp_path: Path) -> None:
    from engine.data.lines import parse_values

    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    row = {
        "messages": [
            {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "2", "tool_call_id": "1"}, {"role": "assistant", "content": "2"},
        ],
        "tools": json.dumps([{"type": "function", "function": {"name": "add"}}]),
    }  # fmt: skip
    record = parse_values(row)
    template = (
        "{{ tools | tojson }}{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}"
        "{{ c.function.arguments | tojson }}{% endfor %}{% endif %}{{ m.content }}{% endfor %}"
    )
    text = ChatTemplate(template, {}).render(**json.loads(record.example.source))
    assert text == '[{"type": "function", "function": {"name": "add"}}]1+1?{"a": 1}22'.replace(
        '{"type": "function", "function": {"name": "add"}}',
        '{"function": {"name": "add"}, "type": "function"}',
    )
