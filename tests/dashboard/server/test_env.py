"""Environment variables that cannot be parsed stop the start with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from dashboard.server import env


@pytest.fixture(autouse=True)
def unrecorded(monkeypatch):
    monkeypatch.setattr(env, "VARIABLES", {})


@pytest.mark.parametrize("value", ["x", "1.5", "", "9" * 5_000, "-1", "0", "²", "0x10"])
def test_a_number_is_read_or_refused_with_its_name(value, monkeypatch):
    monkeypatch.setenv("FOURWALLS_TEST", value)
    if value == "":
        assert env.whole("FOURWALLS_TEST", 7, "", "", least=1) == 7
        return
    with pytest.raises(ImproperlyConfigured, match="FOURWALLS_TEST") as refused:
        env.whole("FOURWALLS_TEST", 7, "", "", least=1)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "url", ["//[", "postgresql://h:x/db", "postgresql://h:99999/db", "mysql://h/db", "x"]
)
def test_a_database_address_is_read_or_refused(url):
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        env.database(url, Path("x"))


def test_a_good_address_is_read():
    found = env.database("postgresql://us%2Fer:p%40@h:5433/name", Path("x"))
    assert [found[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")] == [
        "us/er",
        "p@",
        "h",
        5433,
        "name",
    ]
