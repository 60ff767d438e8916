"""One word per thing: the synonyms that the vocabulary forbids stand nowhere in names people meet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.urls import URLPattern, URLResolver, get_resolver

from engine.spec.spec import Spec, flatten
from engine.telemetry.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent
# word -> what to say instead
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
        if path.startswith("admin/") or "/mlflow" in path:  # its words are MLflow's
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


def test_every_metric_with_a_unit_says_it_in_its_name():
    wrong = [m.name for m in METRICS if m.unit in UNIT_OF and not m.name.endswith(UNIT_OF[m.unit])]
    assert not wrong


def test_zero_stage_is_always_written_in_full():
    bare = [
        f"{m.__name__}.{f.name}" for m in apps.get_models() for f in m._meta.get_fields() if f.name == "zero"
    ]
    assert not bare
