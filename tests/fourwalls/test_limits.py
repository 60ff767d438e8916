"""The client's limits are the server's."""

from __future__ import annotations

import random

from engine.request_limits import PARAM_CHARS
from engine.telemetry import point_limits
from fourwalls import limits, values


def test_the_client_has_the_same_constants_as_the_server():
    shared = [name for name in vars(limits) if name.isupper() and name != "PARAM_CHARS"]
    assert len(shared) == 6
    assert {name: getattr(limits, name) for name in shared} == {
        name: getattr(point_limits, name) for name in shared
    }
    assert limits.PARAM_CHARS == PARAM_CHARS


def test_the_client_takes_the_metric_names_that_the_server_takes():
    draw = random.Random(7)
    letters = ["a", "Z", "0", "/", " ", ".", "%", "ü", "\t", "\u2028", "\0", "\ud800"]
    for _ in range(500):
        length = draw.choice([0, 1, 2, 249, 250, 251, 9_000])
        name = "".join(draw.choice(letters[: draw.choice([1, 5, 10, 12])]) for _ in range(length))
        assert values.is_metric_name(name) == (not point_limits.name_error(name)), ascii(name[:40])
