"""Vocabulary of names and page texts: one word per thing, and the field's word."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from django.apps import apps
from django.urls import URLPattern, URLResolver, get_resolver

from engine.spec.spec import Spec, flatten
from engine.telemetry.metrics import METRICS
from tests.names import Name, defined_names, page_texts, words_of
from tests.source_tree import source_modules

ROOT = Path(__file__).resolve().parent.parent
# word -> replacement
FORBIDDEN = {
    "task": "job",
    "trial": "run",
    "experiment": "run",
    "retry_count": "attempt",
    "worker": "agent or rank",
    "cluster": "pool",
    "gpu_card": "device",
    "iteration": "step",
    "curve": "series",
    "config": "spec",
    "hyperparameter": "spec",
}
# word -> the field's word; also refused in its regular forms (says, saying)
BANNED = {
    "told": "serialize, record_event or message",
    "said": "text, label or message",
    "tell": "record_event, notify or print",
    "say": "log, print or message",
    "wish": "action or target state",
    "hear": "record_heartbeat or touch",
    "heard": "last_seen",
    "mend": "recover",
    "story": "history",
    "chapter": "attempt",
    "anew": "again",
    "nobody": "no one, or name what is missing",
    "whoever": "anyone who",
    "culprit": "root_cause",
    "witness": "secondary_failure",
    "knob": "spec_edit",
    "idea": "remedy",
    "keeper": "supervisor",
    "brought": "uploaded",
    "unborn": "unsubmitted",
    "begun": "started",
    "narrate": "progress log",
    "tally": "counts",
    "arming": "prepare",
    "lean": "name what is left out",
}
# name -> reason to keep it
KEPT_NAMES = {
    "tell": "the method of a file object that returns its position",
}
# class name -> why several classes may have it
SHARED_CLASS_NAMES = {
    "Meta": "Django: options of a model or form",
    "Command": "Django: a management command has this name",
    "Migration": "Django: a migration has this name",
    "Run": "fourwalls.Run is what a training script holds of a row of jobs.models.Run",
}
UNITS = ("_bytes", "_bytes_per_s", "_s", "_w", "_j", "_pct", "_share", "_hz", "_celsius", "_per_s")
UNIT_OF = {
    "s": "_s", "bytes": "_bytes", "bytes_per_s": "_bytes_per_s", "w": "_w", "j": "_j", "pct": "_pct",
    "share": "_share", "hz": "_hz", "celsius": "_celsius", "tokens_per_s": "_per_s", "flops_per_s": "_per_s",
}  # fmt: skip


def words_in(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower())) | {name.lower()}


def routes(resolver: URLResolver | None = None, prefix: str = "") -> list[str]:
    found: list[str] = []
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if path.startswith("admin/") or "/mlflow" in path:  # MLflow's own words
            continue
        found += routes(entry, path) if isinstance(entry, URLResolver) else [f"{path} {entry.name or ''}"]
        assert isinstance(entry, URLPattern | URLResolver)
    return found


def names() -> dict[str, list[str]]:
    models = apps.get_app_config("jobs").get_models()
    return {
        "columns": [f"{m.__name__}.{f.name}" for m in models for f in m._meta.get_fields()],
        "routes": routes(),
        "metrics": [metric.name for metric in METRICS],
        "fields of a spec": list(flatten(Spec().model_dump())),
    }


@pytest.mark.parametrize("kind", ["columns", "routes", "metrics", "fields of a spec"])
def test_no_forbidden_synonym_is_used(kind: str):
    wrong = {n: FORBIDDEN[word] for n in names()[kind] for word in words_in(n) & set(FORBIDDEN)}
    assert not wrong


def test_pages_use_no_forbidden_synonym_in_their_text():
    pattern = re.compile(r"\b(experiments?|trials?|hyperparameters?|iterations?)\b", re.IGNORECASE)
    wrong = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in (ROOT / "templates").rglob("*.html")
        for match in pattern.finditer(path.read_text())
    ]
    assert not wrong


def test_every_metric_with_a_unit_has_it_in_its_name():
    wrong = [m.name for m in METRICS if m.unit in UNIT_OF and not m.name.endswith(UNIT_OF[m.unit])]
    assert not wrong


def test_zero_stage_is_always_written_in_full():
    bare = [
        f"{m.__name__}.{f.name}" for m in apps.get_models() for f in m._meta.get_fields() if f.name == "zero"
    ]
    assert not bare


def forms_of(word: str) -> set[str]:
    """A word with its regular forms: story, stories; narrate, narrating, narrator."""
    stem = word.removesuffix("e")
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return {word, plural, f"{word}es", f"{stem}ed", f"{stem}ing", f"{stem}or"}


BANNED_FORMS = {form: word for word in BANNED for form in forms_of(word)}


def broken_rules(name: Name) -> list[str]:
    rules = [f"{form}: {BANNED[BANNED_FORMS[form]]}" for form in sorted(name.words & set(BANNED_FORMS))]
    if name.kind == "module" and "marks" in name.words:
        rules.append("marks: annotations or timers")
    if name.kind == "class" and name.text == "Sign" and "models" in name.path.parts:
        rules.append("sign: ComponentHeartbeat")
    if name.kind == "function" and name.text == "of":
        rules.append("of: build_x, get_x or x_from_y")
    if name.text.startswith("_of_"):
        rules.append("_of_: build_x, get_x or x_from_y")
    return rules


@pytest.mark.parametrize(
    ("kind", "text", "path", "rules"),
    [
        ("function", "told_of", "jobs/a.py", ["told"]),
        ("class", "StoryKeepers", "jobs/a.py", ["keepers", "story"]),
        ("function", "of", "jobs/a.py", ["of"]),
        ("attribute", "of", "jobs/a.py", []),
        ("function", "_of_grid", "jobs/a.py", ["_of_"]),
        ("module", "run_marks", "jobs/run_marks.py", ["marks"]),
        ("variable", "marks", "jobs/a.py", []),
        ("class", "Sign", "jobs/models/a.py", ["sign"]),
        ("class", "Sign", "jobs/a.py", []),
        ("function", "clean_header_essay", "jobs/a.py", []),
    ],
)
def test_rules_match_whole_words_and_kinds(kind: str, text: str, path: str, rules: list[str]):
    found = broken_rules(Name(kind, text, Path(path), 1))
    assert [rule.partition(":")[0] for rule in found] == rules


def listed(found: Iterable[str]) -> str:
    lines = list(found)
    return f"{len(lines)} findings:\n" + "\n".join(lines)


@pytest.mark.parametrize("kind", ["module", "class", "function", "attribute", "variable"])
def test_names_in_the_source_are_the_words_of_the_field(kind: str):
    names = [n for n in defined_names(source_modules()) if n.kind == kind and n.text not in KEPT_NAMES]
    wrong = [f"{name} -> {rule}" for name in names for rule in broken_rules(name)]
    assert not wrong, listed(wrong)


def test_every_kept_name_still_exists():
    assert set(KEPT_NAMES) <= {name.text for name in defined_names(source_modules())}


def test_no_two_public_classes_have_one_name():
    places: dict[str, list[Name]] = defaultdict(list)
    for name in defined_names(source_modules()):
        if name.kind == "class" and not name.text.startswith("_") and name.text not in SHARED_CLASS_NAMES:
            places[name.text].append(name)
    wrong = [
        f"{name} -> one of {len(same)} classes of this name"
        for _, same in sorted(places.items())
        for name in same
        if len(same) > 1
    ]
    assert not wrong, listed(wrong)


def test_pages_use_the_words_of_the_field():
    wrong = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()} -> {form}: {BANNED[BANNED_FORMS[form]]}"
        for path in sorted((ROOT / "templates").rglob("*.html"))
        for number, line in enumerate(page_texts(path.read_text()).splitlines(), 1)
        for form in sorted(words_of(line) & set(BANNED_FORMS))
    ]
    assert not wrong, listed(wrong)


def test_only_one_decision_mentions_the_former_product_name():
    """The word is assembled here, so that this file does not contain it."""
    old = "head" + "room"
    tracked = subprocess.run(
        ["git", "grep", "-I", "-i", "-n", old], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode not in (0, 1):
        pytest.skip("not a git checkout")
    paths = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = tracked.stdout.splitlines()
    decisions = [line for line in lines if line.startswith("docs/decisions")]
    assert [line for line in lines if line not in decisions] == []
    assert [path for path in paths.splitlines() if old in path.lower()] == []
    assert len(decisions) == 1
