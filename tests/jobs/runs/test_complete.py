"""What may come next while a filter is typed."""

from __future__ import annotations

import pytest

from jobs import runs
from jobs.tracking import external_runs, params


@pytest.fixture
def offered(asker):
    def texts(text: str) -> list[str]:
        return [item.text for item in runs.complete(text, asker).items]

    return texts


def test_names_of_everything_there_is_are_offered_with_the_number_of_runs(some, asker):
    items = {item.text: item for item in runs.complete("", asker).items}
    assert (items["loss"].kind, items["loss"].num_runs) == ("metric", 3)
    assert (items["model.layers"].kind, items["model.layers"].num_runs) == ("param", 4)
    assert (items["tag:stage"].kind, items["tag:stage"].num_runs) == ("tag", 2)
    assert items["state"].kind == "run"
    assert '"data path"' in items


@pytest.mark.parametrize(
    ("text", "start", "wanted"),
    [
        ("lay", 0, ["model.layers"]),
        ("loss < 2 and lay", 13, ["model.layers"]),
        ("(not lay", 5, ["model.layers"]),
        ('"data', 0, ['"data path"']),
        ("tag:st", 0, ["tag:stage"]),
        ("tag:stage = ", 12, ["final", "first"]),
        ("tag:stage = fin", 12, ["final"]),
        ("state:r", 0, ["state:running"]),
        ("state in (running, s", 19, ["succeeded"]),
        ("owner:m", 0, ["owner:me"]),
        ("owner = ", 8, ["me", "olga"]),
        ("is:l", 0, ["is:live"]),
        ("has:los", 0, ["has:loss", "has:train/loss"]),
        ("model.layers = 1", 15, ["12", "12.0"]),
        ("loss < ", 7, []),
        ("min(loss) < ", 12, []),
        ("loss ", 5, ["<", "<=", ">", ">=", "=", "!="]),
        ("name ", 5, ["=", "!=", "~", "in ("]),
        ("loss < 2 ", 9, ["and", "or"]),
        ("loss < 2 o", 9, ["or"]),
        ("(loss < 2) ", 11, ["and", "or"]),
        ("tag:stage ", 10, ["=", "!=", "~", "in ("]),
        ("nosuchname", 0, []),
        ("nosuchname = ", 13, []),
    ],
)
def test_what_fits_the_place_is_offered(some, asker, text, start, wanted):
    found = runs.complete(text, asker)
    assert found.start == start
    assert [item.text for item in found.items] == wanted


def test_names_and_values_of_other_teams_are_not_offered(some, offered, other_team, stranger):
    secret = external_runs.create(team=other_team, owner=stranger, name="secret", origin="test")
    params.store(secret, {"secret_key": "1", "model.layers": "99"})
    assert offered("secret") == []
    assert "99" not in offered("model.layers = ")


def test_every_half_typed_text_has_an_answer(some, asker):
    whole = 'not (loss < 2.1 or min("train/loss") >= 8) and tag:baseline and state not in (a, "b c")'
    for end in range(len(whole) + 1):
        assert runs.complete(whole[:end], asker).start <= end
