"""Settings of pools in the API."""

from __future__ import annotations

from jobs.pools import pool_settings


def test_a_pool_shows_limits_and_prices_and_is_found_by_its_labels(pool, client_of):
    pool_settings.change(pool, "ann", {"labels": "gpu=h200", "max_gang": "4", "price_per_device_hour": "2.5"})
    client = client_of("owner")
    (body,) = client.get("/api/v1/pools?requires=gpu=h200").json()["pools"]
    assert (body["labels"], body["max_gang"], body["max_time_limit_s"]) == ({"gpu": "h200"}, 4, None)
    assert (body["price_per_device_hour"], body["tariff_per_kwh"], body["currency"]) == (2.5, None, "EUR")
    assert body["default_time_limit_s"] == 3600
    assert client.get("/api/v1/pools?requires=gpu=b300").json()["pools"] == []
    assert client.get("/api/v1/pools?requires=gpu").status_code == 422


def test_a_spec_that_a_pool_refuses_is_refused_over_http_at_its_field(pool, token_of):
    pool_settings.change(pool, "ann", {"allowed_teams": "red"})
    answer = token_of("owner").post("/api/v1/jobs", {"name": "x"}, content_type="application/json")
    assert answer.status_code == 422 and answer.json()["problems"][0]["field"] == "pool"
