"""Media, output and environment on the page of a run."""

from __future__ import annotations

import json
import random

import pytest

from dashboard.pages.runs import media_panel
from jobs.models import RunEnvironment
from jobs.tracking import artefacts, console, external_runs, media

SEED, CASES = 37, 200


@pytest.fixture
def run(team, owner):
    return external_runs.create(team=team, owner=owner, name="mine", origin="fourwalls")


def store(run, key, kind, step, *items):
    entry = {"key": key, "kind": kind, "step": step, "at_us": 0, "source": "run", "items": list(items)}
    media.store(run, [entry])


def save(run, path, content=b"x"):
    return artefacts.save(run, path, [content], actor="o")


def test_each_kind_is_shown(owner_browser, run):
    for number, (kind, extension) in enumerate(
        (("image", "png"), ("audio", "wav"), ("video", "mp4"), ("html", "html"))
    ):
        save(run, f"media/{number}.{extension}")
        store(run, f"my/{kind}", kind, 4, {"path": f"media/{number}.{extension}", "caption": "<b>bold</b>"})
    save(
        run,
        "media/t.json",
        json.dumps({"columns": ["a", "b"], "rows": [[n, f"<i>{n}"] for n in range(150)]}).encode(),
    )
    store(run, "table", "table", 1, {"path": "media/t.json", "rows": 150})
    store(run, "text", "text", 1, {"text": "8x7b >= <script>"})
    store(run, "late", "image", 1, {"path": "media/late.png"})
    for step in (1, 2, 3):
        store(run, "histogram", "histogram", step, {"counts": [1, 2, 3], "edges": [0, 1, 2, step + 2]})
    text = owner_browser.get(f"/runs/{run.id}/media/").text
    for part in ("<img", "<audio", "<video", "<iframe", "<svg", "100 of 150 rows", "Not uploaded yet: late.png",
                 "&lt;b&gt;bold", "&lt;i&gt;99", "8x7b &gt;= &lt;script&gt;", 'max="2"', "8 of 8"):  # fmt: skip
        assert part in text, part
    assert "<b>bold" not in text and "<i>" not in text and "<script>" not in text


def test_the_slider_shows_another_step(owner_browser, run):
    for step in (10, 20, 30):
        store(run, "note", "text", step, {"text": f"at {step}"})
    query = {"key": "note", "source": "run", "kind": "text"}
    for index, step in ((0, 10), (1, 20), (2, 30)):
        text = owner_browser.get(f"/runs/{run.id}/media/entry/", query | {"index": index}).text
        assert f"at {step}" in text and f"step {step}" in text
    assert owner_browser.get(f"/runs/{run.id}/media/entry/", query | {"index": 9}).status_code == 404
    assert owner_browser.get(f"/runs/{run.id}/media/entry/", query | {"key": "other"}).status_code == 404


def test_many_names_are_counted_found_and_all_shown(owner_browser, run):
    for number in range(40):
        store(run, f"layer{number:02}/weight", "text", 1, {"text": "x"})
    address = f"/runs/{run.id}/media/"
    assert "24 of 40" in owner_browser.get(address).text
    assert "40 of 40" in owner_browser.get(f"{address}?all=1").text
    found = owner_browser.get(f"{address}?find=layer3").text
    assert "10 of 10" in found and "layer39/weight" in found and "layer01" not in found
    assert "No name contains" in owner_browser.get(f"{address}?find=nothing").text


def test_html_is_framed_without_access_and_other_files_are_saved(owner_browser, stranger_browser, run):
    frame = owner_browser.get(f"/runs/{run.id}/media/{save(run, 'a.html').id}/")
    assert frame["Content-Type"].startswith("text/html") and frame["X-Frame-Options"] == "SAMEORIGIN"
    assert frame["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none'")
    for name in ("a.svg", "b.js", "c.pdf"):
        answer = owner_browser.get(f"/runs/{run.id}/media/{save(run, name).id}/")
        assert (
            answer["Content-Type"] == "application/octet-stream"
            and "attachment" in answer["Content-Disposition"]
        )
    made = save(run, "d.png")
    assert stranger_browser.get(f"/runs/{run.id}/media/{made.id}/").status_code == 404
    for part in ("media", "environment", "console"):
        assert stranger_browser.get(f"/runs/{run.id}/{part}/").status_code == 404


def test_output_and_environment_are_shown(owner_browser, run):
    assert "Environment" not in owner_browser.get(f"/runs/{run.id}/environment/").text
    RunEnvironment.objects.create(
        run=run, facts={"git_commit": "abc", "torch": "2.9"}, packages=["a==1", "b==2"]
    )
    text = owner_browser.get(f"/runs/{run.id}/environment/").text
    assert "Git commit" in text and "abc" in text and "2 packages" in text and "a==1\nb==2" in text
    console.store(run, "run", 0, ["first <line>", "second"])
    assert "first &lt;line&gt;\nsecond" in owner_browser.get(f"/runs/{run.id}/console/").text


def test_a_table_that_is_no_table_has_its_reason(owner_browser, run):
    for number, content in enumerate((b"", b"[1]", b"{}", b'{"columns": 3, "rows": 4}', b"\xff")):
        save(run, f"media/{number}.json", content)
        store(run, f"t{number}", "table", 1, {"path": f"media/{number}.json"})
    assert owner_browser.get(f"/runs/{run.id}/media/").text.count("The table cannot be read") == 5


def test_random_histograms_keep_their_counts_when_they_are_binned_again():
    draw = random.Random(SEED)
    for _ in range(CASES):
        edges = sorted(draw.uniform(-5, 5) for _ in range(draw.randint(2, 70)))
        counts = [draw.choice([0, 1, 5, 1000]) for _ in edges[1:]]
        low, high = edges[0] - draw.random(), edges[-1] + draw.random()
        made = media_panel.rebin(counts, edges, low, high, draw.choice([1, 7, 32]))
        assert sum(made) == pytest.approx(sum(counts)) and min(made) >= 0
        heat = media_panel.draw_heat(
            [(step, [{"counts": counts, "edges": edges}]) for step in range(draw.randint(2, 99))]
        )
        assert all(0 <= x <= 320 and 0 <= y <= 120 and 0 < share <= 1 for x, y, _, _, share in heat["cells"])
        boxes = media_panel.draw_bars(counts, edges)["boxes"]
        assert len(boxes) == len(counts) and all(height <= 120 for *_, height in boxes)
