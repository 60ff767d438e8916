"""Requests at and above every limit: accepted, or refused with a sentence, and within a second of CPU either way."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from engine import request_limits as limits
from engine.request_limits import Limit
from jobs.people.api_tokens import create_token
from jobs.tracking import external_runs

pytestmark = pytest.mark.slow

CPU_S = 1.0
HUGE = "1" + "0" * 30
ML = "/api/2.0/mlflow"
API = "/api/v1"


@contextmanager
def quick() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < CPU_S


@dataclass
class Doors:
    """A run, and clients who may write to it: a browser's session and a token."""

    browser: Client
    bearer: Client
    run: str

    def get(self, address: str, **query: Any) -> Any:
        client = self.bearer if address.startswith("/api/2.0") else self.browser
        return client.get(address, query)

    def post(self, address: str, body: Any) -> Any:
        """A JSON body; bytes go as they are."""
        text = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.bearer.post(address, text, content_type="application/json")

    def form(self, address: str, **fields: str) -> Any:
        return self.browser.post(address, fields, headers={"Accept": "application/json"})

    def points(self, batches: list[Any]) -> Any:
        return self.post(f"{API}/runs/{self.run}/points", {"stream": "w", "batches": batches})

    def sweep(self, **sweep: Any) -> Any:
        return self.post(f"{API}/sweeps/preview", {"spec": {}, "sweep": sweep})

    def search(self, **body: Any) -> Any:
        return self.post(f"{ML}/runs/search", {"experiment_ids": ["0"], **body})


@pytest.fixture
def doors(owner, team, node, owner_browser) -> Doors:
    bearer = Client(headers={"Authorization": f"Bearer {create_token(owner, team, 'test')}"})
    for client in (owner_browser, bearer):
        client.raise_request_exception = False
    run = external_runs.create(team=team, owner=owner, name="logged", origin="test")
    return Doors(owner_browser, bearer, run.id)


def nested(depth: int) -> Any:
    """A mapping in a mapping, so many of them."""
    value: Any = "leaf"
    for _ in range(depth):
        value = {"a": value}
    return value


def one_series(metric: str) -> dict[str, Any]:
    return {"metric": metric, "values": [1.0], "steps": [0], "times": [1e9]}


def pairs(count: int) -> list[dict[str, str]]:
    return [{"key": f"k{n}", "value": "1"} for n in range(count)]


def dataset(number: int) -> dict[str, Any]:
    return {"dataset": {"name": f"d{number}", "digest": "0"}}


def token_of_offset(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode()


# What is sent of a size, the limit of that size, and the status of the refusal.
AT_THE_LIMIT: dict[str, tuple[Limit, Callable[[Doors, int], Any], int]] = {
    "filter: characters": (limits.FILTER_CHARS, lambda d, n: d.get(f"{API}/runs", filter="a" * n), 422),
    "filter: clauses": (limits.FILTER_CLAUSES, lambda d, n: d.get(f"{API}/runs", filter="a " * n), 422),
    "filter: depth": (
        limits.FILTER_DEPTH, lambda d, n: d.get(f"{API}/runs", filter="(" * n + "a" + ")" * n), 422,
    ),
    "filter: values of an attribute": (
        limits.FILTER_VALUES, lambda d, n: d.get(f"{API}/runs", filter=f"state in ({','.join('a' * n)})"), 422,
    ),
    "filter: values of a parameter": (
        limits.FILTER_VALUES, lambda d, n: d.get(f"{API}/runs", filter=f"param:a in ({','.join('1' * n)})"), 422,
    ),
    "query": (limits.QUERY_CHARS, lambda d, n: d.get(f"{API}/pools", x="a" * (n - 2)), 400),
    "query of a page": (limits.QUERY_CHARS, lambda d, n: d.get("/jobs/", q="a" * (n - 2)), 400),
    "query of MLflow's API": (
        limits.QUERY_CHARS, lambda d, n: d.get(f"{ML}/experiments/search", x="a" * (n - 2)), 400,
    ),
    "page": (limits.PAGE_ROWS, lambda d, n: d.get(f"{API}/jobs", limit=n), 422),
    "page of files": (limits.FILE_PAGE_ROWS, lambda d, n: d.get(f"{API}/runs/{d.run}/artefacts", limit=n), 422),
    "page of data sets": (limits.LONG_PAGE_ROWS, lambda d, n: d.get(f"{API}/datasets", limit=n), 422),
    "page of a search": (limits.SEARCH_PAGE_ROWS, lambda d, n: d.search(max_results=n), 400),
    "offset": (limits.OFFSET, lambda d, n: d.get(f"{API}/runs", offset=n), 422),
    "offset of a search": (limits.OFFSET, lambda d, n: d.search(page_token=token_of_offset(n)), 400),
    "body: depth": (
        limits.JSON_DEPTH, lambda d, n: d.post(f"{API}/runs/{d.run}/params", {"params": nested(n - 1)}), 400,
    ),
    "parameters": (
        limits.REQUEST_PARAMS,
        lambda d, n: d.post(f"{API}/runs/{d.run}/params", {"params": {f"p{i}": 1 for i in range(n)}}), 422,
    ),
    "tags": (
        limits.REQUEST_TAGS,
        lambda d, n: d.post(f"{API}/runs/{d.run}/tags", {"tags": {f"t{i}": 1 for i in range(n)}}), 422,
    ),
    "points: batches": (
        limits.DELIVERY_BATCHES, lambda d, n: d.points([{"seq": i, "series": []} for i in range(n)]), 422,
    ),
    "missing metrics": (
        limits.MISSING_METRICS,
        lambda d, n: d.post(
            f"{API}/runs/{d.run}/missing",
            {"source": "run", "missing": {f"m{i}": ["absent", "x"] for i in range(n)}},
        ),
        422,
    ),
    "series: metrics": (
        limits.SERIES_NAMES, lambda d, n: d.get(f"{API}/runs/{d.run}/series", metric=["loss"] * n), 422,
    ),
    "series: points": (
        limits.SERIES_POINTS, lambda d, n: d.get(f"{API}/runs/{d.run}/series", metric="loss", points=n), 422,
    ),
    "search: characters": (
        limits.SEARCH_CHARS, lambda d, n: d.search(filter="run_name = 'a'" + " " * (n - 14)), 400,
    ),
    "search: clauses": (
        limits.FILTER_CLAUSES, lambda d, n: d.search(filter=" AND ".join(["metrics.a > 1"] * n)), 400,
    ),
    "search: values": (
        limits.SEARCH_VALUES, lambda d, n: d.search(filter="run_id IN (" + ",".join(["'a'"] * n) + ")"), 400,
    ),
    "search: pattern": (
        limits.PATTERN_CHARS, lambda d, n: d.search(filter="run_name LIKE '" + "%" * n + "'"), 400,
    ),
    "search: order": (
        limits.ORDER_COLUMNS, lambda d, n: d.search(order_by=[f"metrics.m{i}" for i in range(n)]), 400,
    ),
    "search: experiments": (
        limits.REQUEST_IDS, lambda d, n: d.search(experiment_ids=[str(i) for i in range(n)]), 400,
    ),
    "histories": (
        limits.HISTORY_RUNS,
        lambda d, n: d.get(f"{ML}/metrics/get-history-bulk", run_id=[d.run] * n, metric_key="a"), 400,
    ),
    "logged metrics": (
        limits.LOGGED_METRICS,
        lambda d, n: d.post(
            f"{ML}/runs/log-batch",
            {"run_id": d.run, "metrics": [{"key": f"m{i}", "value": 1, "timestamp": 1} for i in range(n)]},
        ),
        400,
    ),
    "logged parameters": (
        limits.LOGGED_PAIRS,
        lambda d, n: d.post(f"{ML}/runs/log-batch", {"run_id": d.run, "params": pairs(n)}), 400,
    ),
    "logged data sets": (
        limits.LOGGED_DATASETS,
        lambda d, n: d.post(
            f"{ML}/runs/log-inputs", {"run_id": d.run, "datasets": [dataset(i) for i in range(n)]}
        ),
        400,
    ),
    "sweep: values": (
        limits.SWEEP_VALUES, lambda d, n: d.sweep(vary={"seed": list(range(n))}, strategy="random"), 422,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_what_is_within_the_limit_is_taken_and_more_is_refused_with_a_sentence(name, doors):
    limit, send, status = AT_THE_LIMIT[name]
    with quick():
        taken = send(doors, int(limit))
    assert taken.status_code in (200, 201), taken.content[:500]
    with quick():
        refused = send(doors, limit + 1)
    assert refused.status_code == status, refused.content[:500]
    sentence = sentence_of(refused)
    assert f"{limit:,}" in sentence or str(int(limit)) in sentence


def sentence_of(reply: Any) -> str:
    """What a refusal says, in the form of its part."""
    if "json" not in reply["Content-Type"]:
        (sentence,) = re.findall(r"<h1>.*?</h1>\s*<p>(.*?)</p>", reply.text, re.DOTALL)
        return sentence
    body = reply.json()
    return body.get("detail") or body.get("message") or body["problems"][0]["message"]


def check(doors: Doors, yaml: str) -> Any:
    """The submit page's check of a spec that is being typed."""
    return doors.form("/submit/check/", source="yaml", yaml=yaml)


def fields_of(count: int) -> str:
    return "".join(f"field{n}: 1\n" for n in range(count))


# Requests that once took seconds, or were answered by 500.
HOSTILE: dict[str, Callable[[Doors], Any]] = {
    "digits in a search": lambda d: d.search(filter="1" * 90_000 + "x"),
    "5,000 clauses": lambda d: d.search(filter=" AND ".join(["metrics.a > 1"] * 5_000)),
    "2,000 words": lambda d: d.get(f"{API}/runs", filter="a " * 1_999),
    "an order of 3,000": lambda d: d.search(order_by=[f"metrics.m{n}" for n in range(3_000)]),
    "200,000 values": lambda d: d.search(filter="run_id IN (" + ",".join(["'a'"] * 200_000) + ")"),
    "30,000 brackets": lambda d: check(d, "[" * 30_000),
    "30,000 braces": lambda d: check(d, "{a: " * 15_000),
    "20,000 dashes": lambda d: check(d, "- " * 20_000),
    "6,000 unknown fields": lambda d: check(d, fields_of(4_000)),
    "a spec of 6,000 unknown fields": lambda d: d.post(
        f"{API}/jobs", dict.fromkeys(map(str, range(4_000)), 1)
    ),
    "a seed of 60,000 digits": lambda d: check(d, "seed: 0x" + "f" * 60_000),
    "a number in base 60": lambda d: check(d, "seed: " + "1:" * 30_000 + "1.5"),
    "a huge seed of a sweep": lambda d: d.post(
        f"{API}/sweeps/preview", '{"spec": {}, "sweep": {"seed": ' + "9" * 4_000 + "}}"
    ),
    "a range of a sweep": lambda d: d.sweep(vary={"seed": "1.." + "a" * 30_000 + "!"}),
    "dots of a range": lambda d: d.sweep(vary={"seed": ".." * 20_000}),
    "5,000 fields of a sweep": lambda d: d.sweep(vary={f"a{n}": "x..y" for n in range(3_000)}),
    "a deep field of a sweep": lambda d: d.sweep(vary={"a." * 9_000 + "a": [1]}),
    "a deep field of an address": lambda d: d.get("/submit/", set="a." * 9_000 + "a=1"),
    "16,000 empty batches": lambda d: d.points([{"seq": n, "series": []} for n in range(16_000)]),
    "20,001 series": lambda d: d.points([{"seq": 0, "series": [one_series("m")] * 20_001}]),
    "NUL in a filter": lambda d: d.get(f"{API}/runs", filter="name = a\0b"),
    "NUL in a body": lambda d: d.post(f"{API}/runs", {"name": "a\0b"}),
    "NUL in a search": lambda d: d.search(filter="run_name = 'a\0b'"),
    "half of a surrogate pair": lambda d: d.post(f"{API}/runs", {"name": "\ud800"}),
    "half of a pair for MLflow": lambda d: d.post(f"{ML}/runs/create", {"run_name": "\ud800"}),
    "bytes that are no text": lambda d: d.post(f"{ML}/runs/search", b"\xff\xfe"),
    "a status of a superscript": lambda d: d.post(f"{ML}/runs/update", {"run_id": d.run, "status": "²"}),
    "a time beyond all calendars": lambda d: d.search(filter="start_time > 1e999"),
    "a year 0": lambda d: d.get(f"{API}/runs", filter="created > 0001-01-01T00:00+12:00"),
    "1,001 query fields": lambda d: d.get(f"{API}/runs/{d.run}/series", metric=["a"] * 1_001),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_costs_too_much_is_refused_quickly(name, doors):
    with quick():
        reply = HOSTILE[name](doors)
    if reply.wsgi_request.path == "/submit/check/":
        assert (reply.status_code, bool(reply.json()["problems"])) == (200, True)
    else:
        assert 400 <= reply.status_code < 500, reply.content[:500]
    if reply.status_code != 404:
        assert len(sentence_of(reply)) > 10


@pytest.mark.parametrize("depth", [33, 900, 50_000])
def test_a_body_nested_deeply_is_refused_by_every_operation(depth, doors):
    text = '{"a":' * depth + "1" + "}" * depth
    for method, path in operations(doors):
        if method in ("post", "patch"):
            with quick():
                reply = getattr(doors.bearer, method)(path, text, content_type="application/json")
            assert reply.status_code < 500, (method, path)
    for address in ("runs/create", "runs/search", "runs/log-batch", "experiments/create", "logged-models"):
        with quick():
            assert doors.post(f"{ML}/{address}", text).status_code < 500, address
    with quick():
        assert doors.points(nested(depth) if depth < 900 else []).status_code == 422
        assert doors.post(f"{API}/runs/{doors.run}/points", text).status_code == 422


ODD = (HUGE, "-" + HUGE, "9" * 5_000, "1e999", "nan", "²", "x" * 9_000, "devices < 1e999", "a." * 3_000)


def test_no_parameter_of_an_operation_ends_in_an_error_of_ours(doors):
    schema = doors.browser.get(f"{API}/openapi.json").json()
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            parameters = operation.get("parameters", [])
            required = {
                one["name"]: "loss" for one in parameters if one.get("required") and one["in"] == "query"
            }
            for one in parameters:
                for odd in ODD:
                    places = {"run_id": doors.run} | ({one["name"]: odd[:200]} if one["in"] == "path" else {})
                    query = required | ({one["name"]: odd} if one["in"] == "query" else {})
                    address = re.sub(r"{(\w+)}", lambda found, places=places: places.get(found[1], "1"), path)
                    if "get" in methods:
                        with quick():
                            assert doors.get(address, **query).status_code < 500, (address, query)


@pytest.mark.parametrize(
    "page", ["/runs/", "/compare/", "/compare/figures/", "/compare/why/", "/trade-offs/"]
)
@pytest.mark.parametrize(
    "filter",
    [
        "devices < 1e999",
        "steps = -1e999",
        "a " * 1_999,
        f"state in ({','.join('a' * 1_900)})",
        "not " * 900 + "a",
    ],
)
def test_pages_show_the_sentence_of_a_filter_that_asks_too_much(page, filter, doors):
    with quick():
        reply = doors.get(page, filter=filter)
    assert reply.status_code == 200
    if page in ("/compare/figures/", "/compare/why/"):  # parts of a page that says it
        return
    is_too_much = len(filter) > 100
    assert bool(re.search(r"at most (100|300)|More than 50", reply.text)) == is_too_much


def operations(doors: Doors) -> list[tuple[str, str]]:
    paths = doors.browser.get(f"{API}/openapi.json").json()["paths"]
    return [
        (method, re.sub(r"{\w+}", doors.run, path)) for path, methods in paths.items() for method in methods
    ]


def test_a_comparison_with_infinity_is_one_with_the_farthest_number(doors, make_job):
    make_job()
    assert doors.get(f"{API}/runs", filter="devices < 1e999").json()["total"] == 1
    assert doors.get(f"{API}/runs", filter="devices > 1e999").json()["total"] == 0


def test_batches_behind_a_hole_cost_no_more_however_many_wait(doors):
    """The points of waiting batches were once read again by every 64th."""
    rows = [{"seq": 1 + n, "series": [one_series("loss")]} for n in range(1_000)]
    times = []
    for first in range(0, 1_000, 100):
        began = time.process_time()
        assert doors.points(rows[first : first + 100]).status_code == 200
        times.append(time.process_time() - began)
    assert min(times[-3:]) < 3 * max(times[:3])
    assert doors.points([{"seq": 0, "series": [one_series("loss")]}]).status_code == 200


def test_every_limit_has_a_unit_and_a_sentence():
    found = {name: value for name, value in vars(limits).items() if isinstance(value, Limit)}
    assert len(found) > 40
    for name, limit in found.items():
        assert limit > 0 and f"{limit:,}" in limit.error(limit + 1), name
        assert limit.error(limit) == "", name
        assert limit.unit or name == "INTEGER", name
