"""Parameters, tags and ids that a server refuses: one bad item never keeps the run away."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from fourwalls import limits

pytestmark = pytest.mark.slow

SEED, NUM_ITEMS = 20261201, 150
# The texts are made in the script and in the test from the same source.
MAKE = """
import random
def make_items(seed, count):
    draw = random.Random(seed)
    names = ["lr", "a b", "größe", "", " ", "\\t", "n" * 250, "n" * 251, "p" * 5_000,
             "nul\\0", "half\\ud800", "\\0", "a.b", "🙂"]
    values = ["x", "", "v" * 6_000, "v" * 6_001, "w" * 9_000, "nul\\0", "half\\udfff", 1, 2**63 - 1, 2**63, -2**70,
              10**5_000, 1.5, float("nan"), float("inf"), True, None, [1, 2], {"deep": {"er": 1}}, {"": 2}, b"bytes"]
    def name(number):
        return f"{draw.choice(names)}{number if draw.random() < 0.8 else ''}"
    return {name(number): draw.choice(values) for number in range(count)}
"""


def make_items(seed: int, count: int) -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(MAKE, space)
    return space["make_items"](seed, count)


def clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def is_plain(name: str) -> bool:
    return bool(name.strip()) and len(name) <= limits.KEY_CHARS and clean(name) == name


def read(server, run_id: str, table: str) -> dict[str, str]:
    code = (
        f"import json; from jobs.models import {table} as T; print(json.dumps(dict("
        f"T.objects.filter(run_id='{run_id}').values_list('key', 'value'))))"
    )
    return json.loads(server.manage("shell", "--no-imports", "-v0", "-c", code))


def test_good_items_arrive_as_given_and_bad_ones_cut_or_not_at_all(script, server, spools):
    process = script(f"""
        import logging; logging.basicConfig()
        {MAKE.replace(chr(10), chr(10) + "        ")}
        items = make_items({SEED}, {NUM_ITEMS})
        run = fourwalls.init(name="r" * 300, project="half\\ud800", config=items, tags=items, note="n" * 30_000)
        run.params({{"later": "x\\0y", "": 1}})
        run.tag(**{{"": "none", "kept": "z" * 9_000}})
        print(run.id)
        run.log({{"loss": 1.0}})
        run.finish()
        """)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    run_id = out.split()[0]
    assert err.count("Not logged as given") == 4, err  # init's config and tags, params(), tag()
    assert server.points(run_id) == [(0, 1.0)]
    assert server.get(f"/runs/{run_id}")["name"] == "r" * 250
    params, tags = read(server, run_id, "RunParam"), read(server, run_id, "RunTag")
    assert params["later"] == "xy" and tags["kept"] == "z" * limits.TAG_CHARS
    checked = 0
    for name, value in make_items(SEED, NUM_ITEMS).items():
        if not is_plain(name):
            assert name not in params and name not in tags
        elif isinstance(value, str):
            assert params[name] == clean(value)[: limits.PARAM_CHARS]
            assert tags[name] == clean(value)[: limits.TAG_CHARS]
            checked += 1
        elif isinstance(value, int | float) and abs(value) < 2**64:
            assert params[name] == str(value).lower() if isinstance(value, bool) else str(value)
            checked += 1
    assert checked > NUM_ITEMS / 4
    assert all(name.strip() and len(name) <= limits.KEY_CHARS for name in [*params, *tags])
    long_names = [name for name in make_items(SEED, NUM_ITEMS) if len(clean(name)) > limits.KEY_CHARS]
    assert len([name for name in tags if "~" in name]) == len(long_names) > 0  # none hides another
    assert not list(spools.glob("*/*"))


def test_a_spool_of_an_older_client_with_bad_items_is_taken(script, server, spools):
    """Older clients sent everything as given."""
    process = script("""
        from fourwalls import initialise as module
        module.description.describe_run = lambda run_id, given: {
            "id": run_id, "name": given["name"], "project": given["project"], "origin": "fourwalls",
            "params": given["config"],
            "tags": {"": "x", "t" * 300: "x", "good": "1"}, "note": given["note"], "parent": "nothing"}
        run = fourwalls.init(name="old", config={"": 1, "p" * 251: 2, "lr": 0.1, "nul": "a\\0b"}, note="n")
        print(run.id)
        run.log({"loss": 1.0})
        run.finish()
        """)
    out, err = process.communicate(timeout=120)
    run_id = out.split()[0]
    assert server.points(run_id) == [(0, 1.0)], err
    assert server.get(f"/runs/{run_id}")["state"] == "succeeded"
    assert read(server, run_id, "RunParam") == {"lr": "0.1"}
    assert read(server, run_id, "RunTag") == {"good": "1"}
    assert not list(spools.glob("*/*"))


@pytest.mark.parametrize("chosen", ["exp1-seed3", "4711", 4711, "a" * 64, "..x", "v1.0_b", "seed00000001"])
def test_an_id_of_ones_own_names_the_run_everywhere(chosen, script, server):
    for number in range(2):
        process = script(f"""
            run = fourwalls.init(id={chosen!r}, name="own")
            run.log({{"loss": {number}.5}}, step={number})
            run.finish()
            """)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "refused" not in err, err
    assert server.points(chosen) == [(0, 0.5), (1, 1.5)]
    assert server.get(f"/runs/{chosen}")["state"] == "succeeded"


@pytest.mark.parametrize("chosen", ["..", ".", "a/b", "a" * 65, "ü", "a b", "a\n", "../up"])
def test_an_id_that_no_folder_and_no_address_takes_becomes_another_one_always_the_same(chosen, script):
    found = set()
    for _ in range(2):
        process = script(f"print(fourwalls.init(id={chosen!r}).id)", MODE="offline")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "cannot name a run" in err
        found.add(out.strip())
    (made,) = found
    assert limits.RUN_ID.fullmatch(made) and made != chosen


def test_calls_after_finish_are_said_once(script):
    process = script("""
        import logging; logging.basicConfig()
        run = fourwalls.init(mode="offline")
        run.finish()
        for _ in range(3):
            run.log({"loss": 1.0}); run.tag(a=1); run.params({"b": 2}); run.save("x")
        """)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err.count("has ended") == 1, err


def test_random_names_stay_different_when_they_are_cut():
    from fourwalls import values

    draw = random.Random(SEED)
    names = {"k" * 249 + "".join(draw.choice("ab") for _ in range(20)) for _ in range(200)}
    cleaned, problems = values.to_tags(dict.fromkeys(names, "v"))
    assert len(cleaned) == len(names) == len(problems)
    assert max(map(len, cleaned)) == limits.KEY_CHARS
