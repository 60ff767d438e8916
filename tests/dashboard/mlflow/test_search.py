"""MLflow's search language and orders."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from mlflow.entities import Metric, Param, RunTag

from jobs.models import Run

pytestmark = pytest.mark.slow

RUNS = (
    ("gpt-small", {"loss": 2.5, "val/loss": 2.7}, {"lr": "0.1", "model": "GPT"}, {"kind": "base"}),
    ("gpt-large", {"loss": 1.5, "val/loss": 1.9}, {"lr": "0.01", "model": "gpt"}, {"kind": "base", "keep": ""}),
    ("mamba_100%", {"loss": float("nan")}, {"lr": "0.1", "model": "mamba"}, {"note with space": "it's"}),
    ("untrained", {}, {}, {}),
)  # fmt: skip


@pytest.fixture
def logged(api):
    for number, (name, metrics, params, tags) in enumerate(RUNS):
        run_id = api.new_run(run_name=name, start_time=1_700_000_000_000 + number)
        odd = {key: "NaN" if value != value else value for key, value in metrics.items()}
        api.post(
            "runs/log-batch",
            run_id=run_id,
            metrics=[{"key": key, "value": value, "timestamp": 1, "step": 1} for key, value in odd.items()],
            params=[{"key": key, "value": value} for key, value in params.items()],
            tags=[{"key": key, "value": value} for key, value in tags.items()],
        )
    api.post(
        "runs/update",
        run_id=Run.objects.get(name="gpt-small").id,
        status="FINISHED",
        end_time=1_700_000_009_000,
    )
    return api


def names(api, text="", **more):
    answer = api.post(
        "runs/search", **{"experiment_ids": ["0"], "filter": text, "order_by": ["start_time"], **more}
    )
    assert answer.status_code == 200, answer.content
    return [run["info"]["run_name"] for run in answer.json()["runs"]]


FOUND = [
    ("metrics.loss < 2", ["gpt-large"]),
    ("metrics.loss <= 2.5 and metrics.loss >= 1.5", ["gpt-small", "gpt-large"]),
    ("metrics.loss > -1e9", ["gpt-small", "gpt-large"]),
    ("metrics.loss != 2.5", ["gpt-large", "mamba_100%"]),
    ("metrics.`val/loss` > 2", ["gpt-small"]),
    ('metric."val/loss" = 1.9', ["gpt-large"]),
    ("params.lr = '0.1'", ["gpt-small", "mamba_100%"]),
    ('parameters.lr != "0.1"', ["gpt-large"]),
    ("params.model LIKE 'g%'", ["gpt-large"]),
    ("params.model ilike 'g%'", ["gpt-small", "gpt-large"]),
    ("params.model LIKE '_p_'", ["gpt-large"]),
    ("params.lr IS NULL", ["untrained"]),
    ("params.lr IS NOT NULL AND params.lr LIKE '0.1'", ["gpt-small", "mamba_100%"]),
    ("tags.kind = 'base'", ["gpt-small", "gpt-large"]),
    ("tags.keep = ''", ["gpt-large"]),
    ("tags.`note with space` = 'it''s'", ["mamba_100%"]),
    ("tags.mlflow.runName = 'untrained'", ["untrained"]),
    ("tags.mlflow.parentRunId IS NULL", [run[0] for run in RUNS]),
    ("attributes.run_name LIKE '%\\_100%'", []),
    ("run_name LIKE '%100\\%'", []),
    ("run_name LIKE 'mamba%'", ["mamba_100%"]),
    ("run_name ILIKE 'GPT-%'", ["gpt-small", "gpt-large"]),
    ("attributes.`Run name` = 'untrained'", ["untrained"]),
    ("status = 'FINISHED'", ["gpt-small"]),
    ("attribute.status != 'FINISHED' and tags.kind = 'base'", ["gpt-large"]),
    ("status IN ('FINISHED', 'FAILED')", ["gpt-small"]),
    ("start_time > 1700000000001", ["mamba_100%", "untrained"]),
    ("end_time = 1700000009000", ["gpt-small"]),
    ("attributes.user_id = 'olga' and metrics.loss = 1.5", ["gpt-large"]),
    ("artifact_uri LIKE 'mlflow-artifacts:/0/%/artifacts' and params.lr = '0.01'", ["gpt-large"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_what_a_filter_finds(logged, text, expected):
    assert names(logged, text) == expected


def test_runs_are_found_by_their_ids(logged):
    ids = dict(Run.objects.values_list("name", "id"))
    listed = f"('{ids['gpt-small']}', '{ids['untrained']}')"
    assert names(logged, f"run_id IN {listed}") == ["gpt-small", "untrained"]
    assert names(logged, f"attributes.run_id NOT IN {listed}") == ["gpt-large", "mamba_100%"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.loss <", "Found "),
        ("metrics.loss < 2 or metrics.loss > 3", "'or' at character 18: clauses are joined by AND"),
        ("metrics.loss < 'two'", "Expected numeric value type"),
        ("metrics.loss LIKE 2", "Invalid comparator 'LIKE'"),
        ("params.lr = 0.1", "Expected a quoted string value"),
        ("params.lr > '0.1'", "Invalid comparator '>'"),
        ("metrics.loss IS NULL", "Invalid comparator 'IS NULL'"),
        ("colour.x = 'red'", "Invalid entity type 'colour'"),
        ("attributes.colour = 'red'", "Invalid attribute key 'colour'"),
        ("run_id IN ('a' 'b')", "a list in round brackets"),
        ("metrics.loss < 2; DROP TABLE jobs_run", "';"),
        ("start_time > 1e30", "lie in no year"),
    ],
)
def test_a_filter_that_is_none_is_refused_and_the_place_is_named(logged, text, expected):
    answer = logged.post("runs/search", experiment_ids=["0"], filter=text)
    assert answer.status_code == 400
    assert expected in answer.json()["message"]


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ([], ["untrained", "mamba_100%", "gpt-large", "gpt-small"]),
        (["metrics.loss"], ["gpt-large", "gpt-small", "mamba_100%", "untrained"]),
        (["metrics.loss DESC"], ["gpt-small", "gpt-large", "mamba_100%", "untrained"]),
        (["params.lr ASC", "metrics.`val/loss` DESC"], ["gpt-large", "gpt-small", "mamba_100%", "untrained"]),
        (["tags.kind", "run_name DESC"], ["gpt-small", "gpt-large", "untrained", "mamba_100%"]),
        (["attributes.end_time DESC", "Created"], ["gpt-small", "gpt-large", "mamba_100%", "untrained"]),
    ],
)
def test_what_has_no_value_stands_last_whichever_way_it_is_ordered(logged, order_by, expected):
    assert names(logged, order_by=order_by) == expected


def test_an_order_that_is_none_is_refused(logged):
    for order_by in (
        ["metrics.loss SIDEWAYS"],
        ["metrics.loss", "metrics.loss DESC"],
        ["colour.x"],
        ["a b c"],
    ):
        assert logged.post("runs/search", experiment_ids=["0"], order_by=order_by).status_code == 400


def test_the_client_pages_through_all_runs_once(client):
    for number in range(7):
        run_id = client.create_run("0").info.run_id
        client.log_batch(
            run_id, [Metric("loss", number, 1, 1)], [Param("n", str(number))], [RunTag("a", "b")]
        )
    found, token = [], None
    while token is not None or not found:
        page = client.search_runs(["0"], order_by=["metrics.loss DESC"], max_results=3, page_token=token)
        found += [run.data.params["n"] for run in page]
        token = page.token
        if not token:
            break
    assert found == list("6543210")


def test_search_as_a_list_gives_metrics_params_and_tags(tracked):
    tracked.set_experiment("mine")
    with tracked.start_run(run_name="a"):
        tracked.log_param("lr", 0.1)
        tracked.log_metric("loss", 0.5)
    [run] = tracked.search_runs(
        experiment_names=["mine"], filter_string="metrics.loss < 1", output_format="list"
    )
    assert (run.data.params, run.data.metrics) == ({"lr": "0.1"}, {"loss": 0.5})


@pytest.mark.parametrize("size", [0, -1, 50_001])
def test_a_page_has_a_size_that_mlflow_would_take(api, size):
    answer = api.post("runs/search", experiment_ids=["0"], max_results=size)
    assert answer.status_code == 400 and "max_results" in answer.json()["message"]


def test_twice_the_runs_ask_no_more_of_the_database(logged):
    asked = {"text": "metrics.loss < 9", "order_by": ["metrics.loss"]}
    names(logged, **asked)
    with CaptureQueriesContext(connection) as few:
        names(logged, **asked)
    for number in range(8):
        run_id = logged.new_run(run_name=f"more {number}")
        logged.post("runs/log-metric", run_id=run_id, key="loss", value=number, timestamp=1)
    with CaptureQueriesContext(connection) as many:
        assert len(names(logged, **asked)) == 10
    assert len(many) == len(few)
