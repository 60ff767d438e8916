"""Parsing of specs: refusals and their messages."""

from __future__ import annotations

import pytest

from engine.spec import spec as specs
from engine.spec.spec import Spec, SpecError, from_yaml, parse, to_yaml, with_changes


def refusal(text: str | bytes) -> tuple[str, str]:
    """Field and sentence of the only problem."""
    with pytest.raises(SpecError) as caught:
        from_yaml(text)
    [problem] = caught.value.problems
    return problem.field, problem.message


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("model: {layer: 4}", "model.layer", "not a field of a spec. Did you mean 'layers'?"),
        ("zebra: 1", "zebra", "Known fields: name, pool, seed"),
        ("model: {layers: 0}", "model.layers", "0 is out of range: it must be at least 1."),
        ("model: {layers: -3}", "model.layers", "-3 is out of range"),
        ("model: {layers: 257}", "model.layers", "257 is out of range: it must be at most 256."),
        ("model: {layers: 4.5}", "model.layers", "4.5 is not a whole number."),
        ("model: {layers: four}", "model.layers", "'four' is not a whole number."),
        ("model: {layers: true}", "model.layers", "True is not a whole number."),
        ("model: {layers: null}", "model.layers", "None is not a whole number."),
        ("model: {layers: 999999999999999999999999}", "model.layers", "must be at most 256"),
        ("model: 7", "model", "This is a group of fields, not a number."),
        ("optimiser: {learning_rate: .nan}", "optimiser.learning_rate", "nan is not a finite number."),
        ("optimiser: {learning_rate: .inf}", "optimiser.learning_rate", "inf is not a finite number."),
        ("optimiser: {learning_rate: 0}", "optimiser.learning_rate", "must be more than 0"),
        ("optimiser: {learning_rate: fast}", "optimiser.learning_rate", "'fast' is not a number."),
        ("optimiser: {name: lion}", "optimiser.name", "'lion' is not one of 'adamw', 'adam'"),
        ("parallel: {zero_stage: 4}", "parallel.zero_stage", "4 is not one of 0, 1, 2 or 3."),
        (
            "parallel: {activation_checkpointing: 3}",
            "parallel.activation_checkpointing",
            "3 is not one of 'none', 'selective' or 'full'",
        ),
        ("model: {biases: 1}", "model.biases", "1 is neither true nor false."),
        ("precision: {dtype: fp8}", "precision.dtype", "'fp8' is not one of"),
        ("name: ''", "name", "at least 1 character"),
        ("[1, 2]", "", "A spec is a mapping of fields, not a list."),
        ("just words", "", "A spec is a mapping of fields, not text."),
        ("model: {layers: 4", "", "not readable YAML in line 1, column"),
        ("a: &x 1\nb: *x", "", "aliases (*name) are not allowed"),
        ("a: " + "[" * 10 + "]" * 10, "", "nested deeper than 6 levels"),
        ("seed: !!python/object/apply:os.system ['true']", "", "not readable YAML"),
        ("seed: 2024-99-99", "", "not readable YAML"),
        ("name: " + "x" * 10_000_000, "", "The spec is 10,000,006 bytes; the limit is 65,536."),
        (b"name: \xff\xfe", "", "not readable YAML"),
    ],
)
def test_bad_input_is_refused_at_its_field_in_one_sentence(text: str | bytes, field: str, words: str):
    found_field, message = refusal(text)
    assert (found_field, words in message) == (field, True), message
    assert len(message) < 250


def test_all_problems_are_reported_at_once():
    with pytest.raises(SpecError) as caught:
        from_yaml("model: {layers: 0, heads: x}\nseed: -1")
    assert [p.field for p in caught.value.problems] == ["seed", "model.layers", "model.heads"]


def test_an_empty_text_is_the_spec_of_defaults():
    assert from_yaml("") == Spec()


def test_a_spec_survives_its_yaml():
    spec = parse({"name": "größe 7", "model": {"layers": 3}, "optimiser": {"learning_rate": 3e-5}})
    assert from_yaml(to_yaml(spec)) == spec


def test_numbers_in_scientific_notation_are_numbers():
    """YAML 1.1 reads 1e-3 as text."""
    assert from_yaml("optimiser: {learning_rate: 1e-3}").optimiser.learning_rate == 0.001


def test_changes_are_applied_by_dotted_names_without_touching_the_original():
    values = {"model": {"layers": 2}}
    assert with_changes(values, ["model.layers=4", "parallel.activation_checkpointing=true", "name=x=y"]) == {
        "model": {"layers": 4}, "parallel": {"activation_checkpointing": True}, "name": "x=y",
    }  # fmt: skip
    assert values == {"model": {"layers": 2}}


@pytest.mark.parametrize("change", ["model.layers", "=4", "name.first=4"])
def test_a_malformed_change_is_refused(change: str):
    with pytest.raises(SpecError):
        with_changes({"name": "x"}, [change])


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Spec().model.layers = 5  # type: ignore[misc]


def test_accumulation_follows_from_the_batches():
    spec = parse({"batch": {"global_batch_size": 48, "micro_batch_size": 4}, "parallel": {"data": 3}})
    assert (spec.accumulation, spec.parallel.world_size, spec.vocab_size) == (4, 3, 2048)


def test_flatten_keeps_the_order_of_the_fields():
    names = list(specs.flatten(Spec().model_dump()))
    assert names[:4] == ["name", "pool", "seed", "priority"]


def test_activation_checkpointing_as_an_old_switch_is_still_read():
    assert parse({"parallel": {"activation_checkpointing": True}}).parallel.activation_checkpointing == "full"
    assert (
        parse({"parallel": {"activation_checkpointing": False}}).parallel.activation_checkpointing == "none"
    )


def test_zero_runs_only_with_several_ranks_16_bit_formats_or_offloading():
    def stage(dtype: str, **parallel: object) -> int:
        return parse({"parallel": {"data": 1, "zero_stage": 2} | parallel}).zero_stage_in(dtype)

    assert (stage("fp32"), stage("tf32")) == (0, 0)
    assert (stage("fp32", data=2), stage("bf16"), stage("fp32", offload_optimiser="host")) == (2, 2, 2)
