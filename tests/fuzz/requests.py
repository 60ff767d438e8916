"""Requests of one seed to one part, with the known names of the server's own source and schema."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.test import Client
from django.urls import get_resolver

from dashboard.mlflow import routes
from tests.fuzz import texts
from tests.fuzz.asgi import ask_fast_path
from tests.fuzz.deliveries import draw_delivery

API, ML = "/api/v1", "/api/2.0/mlflow"
# Routes that are no page of ours, or end the session
LEFT_OUT = ("login", "logout", "live", "readyz", "admin", "api/", "ajax-api/")
PAGE_QUERY = (
    "filter", "sort", "run", "metric", "x", "y", "columns", "group", "offset", "page", "q", "open", "text", "at",
)  # fmt: skip
MLFLOW_FIELDS = (
    "experiment_id", "experiment_ids", "experiment_name", "name", "new_name", "key", "value", "tags",
    "params", "metrics",
    "run_id", "run_uuid", "run_ids", "run_name", "run_view_type", "view_type", "filter",
    "filter_string", "order_by",
    "max_results", "page_token", "status", "start_time", "end_time", "timestamp", "step", "metric_key",
    "start_step",
    "end_step", "datasets", "models", "path", "source_run_id", "model_type",
)  # fmt: skip


@dataclass
class World:
    """What the requests may name, and the clients that send them."""

    browser: Client
    bearer: Client
    token: str  # an Authorization header
    ids: dict[str, str]
    operations: list[
        tuple[str, str, list[str], list[str]]
    ]  # method, path, query parameters, fields of the body

    def id_for(self, name: str, drawn: random.Random) -> str:
        known = self.ids.get(name, drawn.choice(list(self.ids.values())))
        return known if drawn.random() < 0.7 else quote(texts.clean(texts.text(drawn))[:200] or "x", safe="")


def read_operations(client: Client) -> list[tuple[str, str, list[str], list[str]]]:
    """Every operation of openapi.json."""
    schema = client.get(f"{API}/openapi.json").json()

    def fields(operation: dict[str, Any]) -> list[str]:
        content = (
            operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        )
        name = content.get("$ref", "").rpartition("/")[2]
        return list(schema["components"]["schemas"].get(name, {}).get("properties", ()))

    return [
        (
            method,
            path,
            [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"],
            fields(operation),
        )
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def query(drawn: random.Random, names: list[str] | tuple[str, ...]) -> str:
    """A query with some of the names."""
    fields = []
    for name in names:
        if drawn.random() < 0.5:
            given = texts.filter_text(drawn) if name in ("filter", "sort") else texts.text(drawn)
            for _ in range(drawn.choice((1, 1, 1, 3, 300))):
                fields.append(f"{name}={quote(given[:9_000].encode('utf-8', 'surrogatepass'))}")
    return "&".join(fields)[: drawn.choice((500, 31_000, 31_000, 33_000))]


def api(world: World, drawn: random.Random) -> Any:
    """One operation of the API with odd parameters and an odd body."""
    method, path, parameters, fields = drawn.choice(world.operations)
    address = re.sub(r"{(\w+)}", lambda found: world.id_for(found[1], drawn), path)
    address = f"{address}?{query(drawn, parameters)}"
    client = drawn.choice((world.bearer, world.browser))
    if method == "get":
        return client.get(address)
    content = drawn.choice(
        ("application/json",) * 5 + ("application/yaml", "application/octet-stream", "text/x", "")
    )
    body = (
        texts.yaml_text(drawn).encode("utf-8", "replace")
        if "yaml" in content
        else texts.body(drawn, fields, world.ids.get)
    )
    return client.generic(method.upper(), address, body[:900_000], content_type=content)


def mlflow(world: World, drawn: random.Random) -> Any:
    """One endpoint of MLflow's API with odd fields."""
    path = re.sub(
        r"<str:(\w+)>", lambda found: world.id_for(found[1], drawn), drawn.choice(list(routes.TRACKING))
    )
    known = {
        "experiment_id": "0", "experiment_ids": ["0"], "run_id": world.ids["run_id"],
        "run_uuid": world.ids["run_id"],
        "run_ids": [world.ids["run_id"]], "max_results": 5, "filter": texts.search_text(drawn),
        "step": 1, "timestamp": 1,
        "order_by": [texts.words(drawn, texts.SEARCH_WORDS, most=2)], "key": "k", "value": "1", "name": "n",
        "metrics": [{"key": "m", "value": 1, "timestamp": 1}], "params": [{"key": "p", "value": "1"}],
        "metric_key": "loss",
    }  # fmt: skip
    if drawn.random() < 0.3:
        return world.bearer.get(f"{ML}/{path}?{query(drawn, MLFLOW_FIELDS)}")
    method = drawn.choice(("POST", "POST", "POST", "PATCH", "DELETE"))
    body = texts.body(drawn, MLFLOW_FIELDS, known.get)
    return world.bearer.generic(method, f"{ML}/{path}", body, content_type="application/json")


def search(world: World, drawn: random.Random) -> Any:
    """MLflow's filter language and orders."""
    order = [texts.words(drawn, texts.SEARCH_WORDS, most=2) for _ in range(drawn.choice((0, 1, 3, 3_000)))]
    body = {"experiment_ids": ["0"], "filter": texts.clean(texts.search_text(drawn)), "order_by": order}
    where = drawn.choice(("runs/search", "runs/search", "experiments/search", "logged-models/search"))
    return world.bearer.post(f"{ML}/{where}", json.dumps(body), content_type="application/json")


def filters(world: World, drawn: random.Random) -> Any:
    """Our filter language, in the API and on pages."""
    where = drawn.choice(
        (
            f"{API}/runs",
            f"{API}/runs",
            "/runs/",
            "/compare/",
            "/trade-offs/",
            "/runs/count/",
            "/runs/complete/",
        )
    )
    given = quote(texts.filter_text(drawn)[:30_000].encode("utf-8", "surrogatepass"))
    sort = quote(texts.words(drawn, texts.FILTER_WORDS, "", 2)[:300].encode("utf-8", "surrogatepass"))
    return world.browser.get(
        f"{where}?filter={given[:32_000]}" + (f"&sort={sort}" if drawn.random() < 0.3 else "")
    )


def points(world: World, drawn: random.Random) -> Any:
    """Deliveries of points, good and odd, in every encoding."""
    body, headers = draw_delivery(drawn)
    content = headers.pop("Content-Type")
    address = f"{API}/runs/{world.ids['run_id']}/points"
    return world.bearer.post(address, body, content_type=content, headers=headers)


def fast(world: World, drawn: random.Random) -> Any:
    """Points and series that are served before Django."""
    run = f"{API}/runs/{world.ids['run_id']}"
    token = drawn.choice((*[world.token] * 5, "Bearer x", "Basic y", "Bearer"))
    if drawn.random() < 0.5:
        body, headers = draw_delivery(drawn)
        return ask_fast_path(f"{run}/points", headers | {"Authorization": token}, body)
    names = ("metric", "metric", "points", "x", "lo", "hi", "format", "source", "run")
    given = "metric=m0" if drawn.random() < 0.3 else query(drawn, names)
    return ask_fast_path(f"{drawn.choice((run, API))}/series?{given}", {"Authorization": token}, b"")


def spec(world: World, drawn: random.Random) -> Any:
    """Specs as YAML to the submit page's check, and to the API."""
    given = texts.yaml_text(drawn).encode("utf-8", "replace").decode()
    if drawn.random() < 0.5:
        fields = {"source": "yaml", "yaml": given}
        return world.browser.post("/submit/check/", fields, headers={"Accept": "application/json"})
    where = drawn.choice((f"{API}/jobs", f"{API}/templates", f"{API}/sweeps/preview"))
    return world.bearer.post(where, given.encode("utf-8", "replace"), content_type="application/yaml")


def sweep(world: World, drawn: random.Random) -> Any:
    """Definitions of sweeps."""
    fields = (
        "seed",
        "optimiser.learning_rate",
        "model.layers",
        "budget.steps",
        "name",
        texts.clean(texts.text(drawn))[:99],
    )
    vary = {
        drawn.choice(fields): drawn.choice(
            (texts.clean(texts.text(drawn)), "1..9 int x4", [1, 2], texts.value(drawn))
        )
        for _ in range(drawn.choice((0, 1, 3, 40)))
    }
    given = {"vary": vary} | {
        name: texts.value(drawn)
        for name in ("strategy", "count", "seed", "parallel", "metric", "goal", "eta", "first_steps")
        if drawn.random() < 0.2
    }
    body = json.dumps({"spec": {}, "sweep": given if drawn.random() < 0.95 else texts.value(drawn)})
    return world.bearer.post(f"{API}/sweeps/preview", body[:900_000], content_type="application/json")


def page(world: World, drawn: random.Random) -> Any:
    """Any page, read or posted to."""
    address = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: world.id_for(found[1], drawn), drawn.choice(_pages()))
    if drawn.random() < 0.6:
        return world.browser.get(f"/{address}?{query(drawn, PAGE_QUERY)}")
    fields = {name: texts.text(drawn)[:9_000] for name in _posted() if drawn.random() < 0.5}
    return world.browser.post(
        f"/{address}", {name: given.encode("utf-8", "replace") for name, given in fields.items()}
    )


def report(world: World, drawn: random.Random) -> Any:
    """A report that is saved and read, or previewed, and notes and comments, which are Markdown too."""
    given = texts.markdown_text(drawn).encode("utf-8", "replace").decode()
    kind = drawn.randrange(3)
    if kind == 0:
        return world.browser.post("/reports/preview/", {"text": given})
    if kind == 1:
        world.browser.post(f"/runs/{world.ids['run_id']}/comments/write/", {"text": given[:5_000]})
        return world.browser.get(f"/runs/{world.ids['run_id']}/comments/")
    saved = world.browser.post("/reports/write/", {"title": "t", "text": given})
    return world.browser.get(saved["Location"]) if saved.status_code == 302 else saved


PARTS: dict[str, Callable[[World, random.Random], Any]] = {
    one.__name__: one for one in (api, mlflow, search, filters, points, fast, spec, sweep, page, report)
}


@cache
def _pages() -> list[str]:
    def below(resolver: Any, prefix: str = "") -> list[str]:
        found: list[str] = []
        for one in resolver.url_patterns:
            path = prefix + str(one.pattern)
            found += below(one, path) if hasattr(one, "url_patterns") else [path]
        return found

    return [path for path in below(get_resolver()) if not path.startswith(LEFT_OUT)]


@cache
def _posted() -> list[str]:
    """The names that views read from forms."""
    source = "".join(path.read_text() for path in Path(settings.BASE_DIR, "dashboard", "pages").rglob("*.py"))
    return sorted(set(re.findall(r"POST(?:\.get|\.getlist)?[(\[]\"([a-z_.]+)\"", source)))
