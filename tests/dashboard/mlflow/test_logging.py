"""What the client logs stands in our store exactly, once, and whole."""

from __future__ import annotations

import math
import time

import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from jobs import series
from jobs.models import Run, RunMetric

pytestmark = pytest.mark.slow


def values(history):
    return [(point.step, point.value) for point in history]


def test_numbers_come_back_as_they_went_in_also_those_that_are_none(tracked, client):
    odd = [0.1, math.pi * 1e-300, -1.7976931348623157e308, math.nan, math.inf, -math.inf, 5e-324]
    with tracked.start_run() as run:
        for step, value in enumerate(odd):
            tracked.log_metric("odd", value, step=step)
    found = values(client.get_metric_history(run.info.run_id, "odd"))
    assert [repr(value) for _, value in found] == [repr(value) for value in odd]
    assert [step for step, _ in found] == list(range(len(odd)))


def test_a_batch_of_1500_metrics_arrives_whole_and_in_order(client):
    run_id = client.create_run("0").info.run_id
    now = int(time.time() * 1000)
    client.log_batch(run_id, [Metric("loss", step / 7, now + step, step) for step in range(1500)])
    assert values(client.get_metric_history(run_id, "loss")) == [(step, step / 7) for step in range(1500)]
    brief = RunMetric.objects.get(run_id=run_id)
    assert (brief.count, brief.last, brief.last_step) == (1500, 1499 / 7, 1499)


def test_a_batch_may_hold_metrics_parameters_and_tags(client):
    run_id = client.create_run("0").info.run_id
    client.log_batch(run_id, [Metric("a", 1, 0, 0)], [Param("lr", "0.1")], [RunTag("seed", "3")])
    data = client.get_run(run_id).data
    assert (data.metrics, data.params, data.tags["seed"]) == ({"a": 1.0}, {"lr": "0.1"}, "3")


def test_asynchronous_logging_arrives_whole(tracked, client):
    with tracked.start_run() as run:
        for step in range(60):
            tracked.log_metric("loss", step, step=step, synchronous=False)
        tracked.flush_async_logging()
    assert values(client.get_metric_history(run.info.run_id, "loss")) == [
        (step, float(step)) for step in range(60)
    ]


def test_a_parameter_may_be_said_again_but_not_changed(tracked):
    with tracked.start_run() as run:
        tracked.log_param("lr", 0.1)
        tracked.log_param("lr", 0.1)
        with pytest.raises(MlflowException, match="is already"):
            tracked.log_param("lr", 0.2)
    assert tracked.get_run(run.info.run_id).data.params == {"lr": "0.1"}


def test_a_request_that_comes_again_changes_nothing(api):
    run_id = api.new_run()
    batch = [
        {"key": "loss", "value": step / 3, "timestamp": 1000 + step, "step": step} for step in range(100)
    ]
    for _ in range(3):
        assert api.post("runs/log-batch", run_id=run_id, metrics=batch).status_code == 200
    nans = [{"key": "odd", "value": value, "timestamp": 5, "step": 5} for value in ("NaN", "Infinity")]
    for metric in [*nans, *nans]:
        assert api.post("runs/log-metric", run_id=run_id, **metric).status_code == 200
    counts = dict(RunMetric.objects.values_list("key", "count"))
    assert counts == {"loss": 100, "odd": 2}
    assert {name.metric: name.count for name in series.names(run_id)} == counts


def test_numbers_may_come_as_texts_as_protobuf_writes_them(api):
    run_id = api.new_run(start_time="1700000000000")
    api.post("runs/log-metric", run_id=run_id, key="a", value="Infinity", timestamp="1700000000000", step="7")
    [point] = api.get("metrics/get-history", run_id=run_id, metric_key="a").json()["metrics"]
    assert point == {"key": "a", "value": "Infinity", "timestamp": 1700000000000, "step": 7}


@pytest.mark.parametrize(
    ("address", "body", "expected"),
    [
        ("runs/log-metric", {"key": "a", "value": "x", "timestamp": 1}, "parameter 'value'"),
        ("runs/log-metric", {"key": "a", "value": True, "timestamp": 1}, "parameter 'value'"),
        ("runs/log-metric", {"key": "a", "timestamp": 1}, "Missing value for required parameter 'value'"),
        ("runs/log-metric", {"key": "a", "value": 1, "timestamp": -1}, "parameter 'timestamp'"),
        ("runs/log-metric", {"key": "a", "value": 1, "timestamp": 10**17}, "parameter 'timestamp'"),
        ("runs/log-metric", {"key": "a", "value": 1, "timestamp": 1, "step": 2**63}, "step"),
        ("runs/log-parameter", {"key": "a//b", "value": "1"}, "must not resolve to other names"),
        ("runs/log-parameter", {"key": "a%", "value": "1"}, "Names may only contain"),
        ("runs/log-parameter", {"key": "k" * 251, "value": "1"}, "maximum length of 250"),
        ("runs/log-metric", {"key": "k" * 251, "value": 1, "timestamp": 1}, "1 to 250 characters"),
        ("runs/log-metric", {"key": " ", "value": 1, "timestamp": 1}, "parameter 'key'"),
        ("runs/log-parameter", {"key": "a", "value": "v" * 6001}, "6001 characters"),
        ("runs/set-tag", {"key": "a", "value": "v" * 8001}, "maximum length of 8000"),
        ("runs/log-batch", {"metrics": [{"key": "a", "value": 1, "timestamp": 1}] * 1001}, "at most 1000 metrics"),
        ("runs/log-batch", {"params": [{"key": f"a{n}", "value": ""} for n in range(101)]}, "at most 100 params"),
        ("runs/log-batch", {"tags": [{"key": f"a{n}", "value": ""} for n in range(101)]}, "at most 100 tags"),
        ("runs/log-batch", {"params": [{"key": "a", "value": "1"}] * 2}, "Duplicate parameter keys"),
        ("runs/log-batch", {"metrics": [{"key": "a", "value": "x", "timestamp": 1}]}, "metrics[0].value"),
    ],
)  # fmt: skip
def test_mlflows_own_limits_hold_and_the_refusal_names_the_place(api, address, body, expected):
    answer = api.post(address, run_id=api.new_run(), **body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert expected in answer.json()["message"]


def test_a_metric_may_have_any_name_that_the_points_api_takes(api):
    run_id = api.new_run()
    for key in ("a//b", "../a", "100%", "größe", "system/" + "n" * 200 + "/gpu_0_power_usage_watts"):
        assert api.post("runs/log-metric", run_id=run_id, key=key, value=1, timestamp=1).status_code == 200
        assert api.get("metrics/get-history", run_id=run_id, metric_key=key).json()["metrics"]


def test_nothing_of_a_refused_batch_is_kept(api):
    run_id = api.new_run()
    api.post("runs/log-parameter", run_id=run_id, key="lr", value="1")
    body = {"metrics": [{"key": "a", "value": 1, "timestamp": 1}], "params": [{"key": "lr", "value": "2"}]}
    assert api.post("runs/log-batch", run_id=run_id, **body).status_code == 400
    assert not RunMetric.objects.exists() and not series.names(run_id)


def test_a_body_that_is_too_large_or_no_json_is_refused_in_words(api):
    run_id = api.new_run()
    tags = [{"key": f"t{n}", "value": "v" * 8000} for n in range(100)]
    assert api.post("runs/log-batch", run_id=run_id, tags=tags).status_code == 200
    tags = [{"key": f"t{n}", "value": "€" * 8000} for n in range(100)]
    answer = api.post("runs/log-batch", run_id=run_id, tags=tags)
    assert (answer.status_code, "split it up" in answer.json()["message"]) == (400, True)
    answer = api.send("post", "/api/2.0/mlflow/runs/log-batch", data="{", content_type="application/json")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")


def test_a_history_comes_page_by_page(api):
    run_id = api.new_run()
    metrics = [{"key": "a", "value": n, "timestamp": n, "step": n} for n in range(10)]
    api.post("runs/log-batch", run_id=run_id, metrics=metrics)
    first = api.get("metrics/get-history", run_id=run_id, metric_key="a", max_results=6).json()
    token = first["next_page_token"]
    rest = api.get(
        "metrics/get-history", run_id=run_id, metric_key="a", max_results=6, page_token=token
    ).json()
    assert [point["step"] for point in first["metrics"] + rest["metrics"]] == list(range(10))
    assert "next_page_token" not in rest
    assert api.get("metrics/get-history", run_id=run_id, metric_key="never").json() == {"metrics": []}


def test_many_histories_in_one_request_keep_their_spikes(api):
    runs = [api.new_run() for _ in range(2)]
    for run_id in runs:
        metrics = [
            {"key": "a", "value": 100.0 if n == 477 else 1.0, "timestamp": n, "step": n} for n in range(1000)
        ]
        api.post("runs/log-batch", run_id=run_id, metrics=metrics)
    asked = {"run_ids": runs, "metric_key": "a", "max_results": 20}
    points = api.get("metrics/get-history-bulk-interval", **asked).json()["metrics"]
    for run_id in runs:
        own = [point for point in points if point["run_id"] == run_id]
        assert len(own) <= 20 and (477, 100.0) in [(point["step"], point["value"]) for point in own]
        assert own[-1]["step"] == 999
    zoomed = api.get("metrics/get-history-bulk-interval", **asked, start_step=470, end_step=480).json()[
        "metrics"
    ]
    assert len(zoomed) == 22 and {point["step"] for point in zoomed} == set(range(470, 481))
    whole = api.get("metrics/get-history-bulk", run_id=runs, metric_key="a").json()["metrics"]
    assert len(whole) == 2000 and whole[0]["run_id"] == min(runs)


def test_readings_of_a_device_are_series_of_the_device_in_our_units(api):
    run_id = api.new_run()
    for name, value in (("gpu_0_utilization_percentage", 97.5), ("gpu_1_memory_usage_megabytes", 1234.6)):
        api.post("runs/log-metric", run_id=run_id, key=f"system/{name}", value=value, timestamp=1000, step=4)
    api.post(
        "runs/log-metric",
        run_id=run_id,
        key="system/cpu_utilization_percentage",
        value=5,
        timestamp=1,
        step=0,
    )
    found = {(name.metric, name.source): name.last_value for name in series.names(run_id)}
    assert found == {
        ("utilisation_pct", "device:gpu0"): 97.5,
        ("memory_used_bytes", "device:gpu1"): 1234.6e6,
        ("utilisation_pct", "device:cpu"): 5.0,
    }
    key = "system/gpu_1_memory_usage_megabytes"
    [point] = api.get("metrics/get-history", run_id=run_id, metric_key=key).json()["metrics"]
    assert point["value"] == 1234.6
    body = api.get("runs/get", run_id=run_id).json()["run"]["data"]["metrics"]
    assert {metric["key"]: metric["value"] for metric in body}[key] == 1234.6


def test_the_writers_newest_word_is_noted(api):
    run_id = api.new_run()
    Run.objects.update(last_seen_at=None)
    api.post("runs/log-metric", run_id=run_id, key="a", value=1, timestamp=1)
    assert Run.objects.get().last_seen_at is not None
