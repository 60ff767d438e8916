"""Completeness of the verdict rules: registry, remedies, twins, evidence, docs."""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from engine.telemetry.metrics import BY_NAME as METRICS
from engine.verdict import explain, rules
from engine.verdict.facts import Facts, from_json
from engine.verdict.judge import judge
from engine.verdict.rule import ClockRule, ComputeBoundRule, Limit, LossRule, Rule, StateRule
from engine.verdict.rules import BY_ID, CLOCK_RULES, COMPUTE_BOUNDS, LOSSES, RULES, STATES
from engine.verdict.shares import compute_shares
from tests.engine.verdict.cases import CASES, STATE_CASES

ROOT = Path(__file__).resolve().parents[3]
TESTS = Path(__file__).parent
MODULES = [module.name for module in pkgutil.iter_modules(rules.__path__)]
LONGEST_ID = 38  # two ids and ' + ' fit RunVerdict.name
KEYS_OF_A_TABLE = 3  # so many rule ids together are a table
PAGES = (("templates", "*.html"), ("dashboard/static", "*.css"), ("dashboard/static", "*.js"))
RECORDED = [from_json(json.loads(path.read_text())["facts"]) for path in (TESTS / "recorded").glob("*.json")]
FACTS: list[Facts] = [*CASES.values(), *STATE_CASES.values(), *RECORDED]
VERDICTS = [judge(facts) for facts in FACTS]

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def test_each_module_of_the_folder_is_in_the_tuple_under_its_id():
    found = {name: importlib.import_module(f"engine.verdict.rules.{name}").RULE for name in MODULES}
    assert {name: rule.id for name, rule in found.items()} == {name: name for name in MODULES}
    assert {rule.id for rule in found.values()} == set(BY_ID)
    assert all(BY_ID[name] is rule for name, rule in found.items())


def test_no_two_rules_share_an_id_or_a_title():
    for values in ([rule.id for rule in RULES], [rule.title for rule in RULES]):
        assert [value for value, count in Counter(values).items() if count > 1] == []


def test_each_rule_is_of_one_kind_and_the_last_bound_always_applies():
    assert len(LOSSES) + len(CLOCK_RULES) + len(COMPUTE_BOUNDS) + len(STATES) == len(RULES)
    assert all(COMPUTE_BOUNDS[-1].detect(facts, 0.5) for facts in FACTS)


def test_losses_take_no_time_twice():
    """With compute and the time outside all phases they add up to the step."""
    for facts in FACTS:
        shares = compute_shares(facts)
        taken = sum(shares.loss_s.values()) + shares.model.compute_s + shares.model.unaccounted_s
        assert taken == pytest.approx(shares.model.step_s, rel=0.01)


@each_rule
def test_a_rule_has_an_id_that_fits_its_column_a_known_limit_and_texts(rule: Rule):
    assert re.fullmatch(r"[a-z_]+", rule.id) and len(rule.id) <= LONGEST_ID
    assert rule.limit in get_args(Limit)
    assert rule.title and rule.sentence and rule.formula


@each_rule
def test_a_rule_has_remedies_or_the_reason_for_none(rule: Rule):
    assert bool(rule.remedies) != bool(rule.no_remedy_reason)
    assert len({remedy.id for remedy in rule.remedies}) == len(rule.remedies)
    assert all(remedy.title and remedy.sentence for remedy in rule.remedies)


def test_a_remedy_id_means_the_same_remedy_in_all_rules():
    remedies = {remedy for rule in RULES for remedy in rule.remedies}
    assert len({remedy.id for remedy in remedies}) == len(remedies)


@each_rule
def test_a_rule_has_a_twin_or_the_reason_for_none_unless_it_is_a_state(rule: Rule):
    if isinstance(rule, StateRule):
        assert not rule.twin_edits and not rule.no_twin_reason
    else:
        assert bool(rule.twin_edits) != bool(rule.no_twin_reason)


@each_rule
def test_a_part_of_the_step_has_a_colour_of_its_own(rule: Rule):
    assert bool(rule.colour) == (rule in explain.PARTS)
    if rule.colour:
        assert f"--{rule.colour}:" in (ROOT / "dashboard/static/css/tokens.css").read_text()
        assert [other.id for other in RULES if other.colour == rule.colour] == [rule.id]


@each_rule
def test_a_rule_has_a_row_in_the_docs_with_its_limit(rule: Rule):
    assert list_documented_rules().get(rule.id) == rule.limit


def test_the_docs_list_no_rule_that_does_not_exist():
    assert set(list_documented_rules()) <= set(BY_ID)


def list_documented_rules() -> dict[str, str]:
    rows = re.findall(r"^\| (\w+) \| (\w+) \|", (ROOT / "docs/verdicts.md").read_text(), re.MULTILINE)
    return {rule_id: limit for rule_id, limit in rows if limit in get_args(Limit)}


@each_rule
def test_a_rule_applies_to_a_case_with_evidence_and_a_complete_sentence(rule: Rule):
    states = [state for verdict in VERDICTS for state in verdict.states if state.rule == rule.id]
    named = [
        finding
        for verdict in VERDICTS
        if rule.id in verdict.rules
        for finding in verdict.findings
        if finding.rule == rule.id
    ]
    found = [*states, *named]
    assert found, "Add a case to tests/engine/verdict/cases.py."
    for finding in found:
        own_rows = len(finding.evidence) - (not isinstance(rule, StateRule))  # without that of the share
        assert own_rows > 0
        assert not re.search(r"[{}]|None", finding.sentence), finding.sentence


@each_rule
def test_a_rule_reads_only_the_device_metrics_that_it_declares(rule: Rule):
    """Others are not collected from the series of a run."""
    assert rule.metrics <= set(METRICS)
    for facts in FACTS:
        devices = tuple(
            replace(
                d,
                means={name: d.means[name] for name in d.means if name in rule.device_metrics},
                peaks={name: d.peaks[name] for name in d.peaks if name in rule.peak_metrics},
                increases={name: d.increases[name] for name in d.increases if name in rule.counter_metrics},
            )
            for d in facts.devices
        )
        assert evaluate(rule, facts.replace(devices=devices)) == evaluate(rule, facts)


def evaluate(rule: Rule, facts: Facts) -> object:
    if isinstance(rule, LossRule | ClockRule):
        return [(f.share, f.evidence) for f in judge(facts).findings if f.rule == rule.id]
    assert isinstance(rule, ComputeBoundRule | StateRule)
    claim = rule.detect(facts, 0.5) if isinstance(rule, ComputeBoundRule) else rule.detect(facts)
    return claim, rule.get_evidence(facts) if claim else ()


def test_no_other_table_is_keyed_by_rules():
    """Titles, colours, remedies and the like are read from the rule."""
    assert [*find_tables_in_python(), *find_tables_in_pages()] == []


def find_tables_in_python() -> Iterator[str]:
    for package in ("engine", "jobs", "dashboard"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                keys = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
                names = {key.value for key in keys if isinstance(key, ast.Constant)} & set(BY_ID)
                if len(names) >= KEYS_OF_A_TABLE:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}: {', '.join(sorted(names))}"


def find_tables_in_pages() -> Iterator[str]:
    """CSS classes and quoted words."""
    for path in itertools.chain(*((ROOT / folder).rglob(name) for folder, name in PAGES)):
        if "vendor" not in path.parts:
            words = re.findall(rf"[\"'-]({'|'.join(BY_ID)})(?=[\"'\s{{.,])", path.read_text())
            if len(set(words)) >= KEYS_OF_A_TABLE:
                yield f"{path.relative_to(ROOT)}: {', '.join(sorted(set(words)))}"
