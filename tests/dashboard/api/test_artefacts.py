"""Files of runs over HTTP: listed page by page, and given back byte for byte."""

from __future__ import annotations

import random

import pytest
from django.urls import reverse

from jobs.models import Artefact
from jobs.tracking import artefacts


def test_files_are_listed_by_path_and_given_back(owner_browser, make_job):
    run = make_job().run
    for name in ("b.txt", "a/x.bin", "a/y.bin"):
        artefacts.save(run, name, [name.encode()], actor="olga")
    first = owner_browser.get(f"/api/v1/runs/{run.id}/artefacts?limit=2").json()
    rest = owner_browser.get(f"/api/v1/runs/{run.id}/artefacts?limit=2&offset={first['next_offset']}").json()
    items = first["items"] + rest["items"]
    assert [one["path"] for one in items] == ["a/x.bin", "a/y.bin", "b.txt"] and rest["next_offset"] is None
    assert (items[2]["size_bytes"], items[2]["actor"]) == (5, "olga")
    for one in items:
        answer = owner_browser.get(f"/api/v1/runs/{run.id}/artefacts/{one['id']}")
        assert b"".join(answer) == one["path"].encode()
        assert answer["Content-Disposition"].startswith("attachment")


def test_a_file_is_put_and_replaced(owner_browser, make_job):
    run = make_job().run
    address = f"/api/v1/runs/{run.id}/artefacts?path=plots/loss%20%C3%A4.svg"
    for content in (b"old", b"new one"):
        made = owner_browser.put(address, content, content_type="application/octet-stream")
        assert made.status_code == 200, made.content
    assert (made.json()["path"], made.json()["size_bytes"]) == ("plots/loss ä.svg", 7)
    (kept,) = artefacts.listing(run, "plots")
    assert artefacts.file_of(kept.artefact).read_bytes() == b"new one"


def test_what_is_no_path_and_what_is_too_big_are_refused_with_the_reason(owner_browser, make_job, settings):
    run = make_job().run
    bad = owner_browser.put(f"/api/v1/runs/{run.id}/artefacts?path=../x", b"1", content_type="x/y")
    assert bad.status_code == 422 and "not the path" in bad.json()["detail"]
    settings.ARTEFACT_LIMIT_BYTES = 3
    big = owner_browser.put(f"/api/v1/runs/{run.id}/artefacts?path=x", b"1234", content_type="x/y")
    assert big.status_code == 413 and "at most 3" in big.json()["detail"]


def test_a_stranger_puts_nothing(stranger_browser, make_job):
    run = make_job().run
    answer = stranger_browser.put(f"/api/v1/runs/{run.id}/artefacts?path=x", b"1", content_type="x/y")
    assert answer.status_code == 404 and not artefacts.listing(run)


@pytest.mark.parametrize("case", range(10))
def test_a_lost_file_is_said_to_be_missing_since_it_was_first_not_seen(
    owner_browser, stranger_browser, make_job, case, settings, tmp_path
):
    rng = random.Random(case)
    run = make_job().run
    saved = [artefacts.save(run, f"f{number}.bin", [b"content"], actor="olga") for number in range(4)]
    lost = {one.id for one in saved if rng.random() < 0.5}
    away = tmp_path / "kept"
    away.mkdir()
    for one in saved:
        if one.id in lost:
            artefacts.file_of(one).rename(away / one.id)
    for _ in range(2):
        for one in saved:
            answer = owner_browser.get(f"/api/v1/runs/{run.id}/artefacts/{one.id}")
            page = owner_browser.get(
                reverse("run-artefact", args=[run.id, one.id]), headers={"HX-Request": "1"}
            )
            if one.id not in lost:
                assert (answer.status_code, page.status_code) == (200, 200)
                continue
            since = Artefact.objects.get(id=one.id).missing_since
            sentence = f"The file of this artefact, '{one.path}', is missing on disk since {since:%Y-%m-%d %H:%M} UTC"
            assert answer.status_code == 410 and answer.json()["detail"].startswith(sentence)
            assert page.status_code == 409 and "is missing on disk since" in page.headers["HX-Trigger"]
            assert stranger_browser.get(f"/api/v1/runs/{run.id}/artefacts/{one.id}").status_code == 404
    for one in saved:
        if one.id in lost:
            (away / one.id).rename(artefacts.file_of(one))
        assert owner_browser.get(f"/api/v1/runs/{run.id}/artefacts/{one.id}").status_code == 200
    assert not Artefact.objects.exclude(missing_since=None).exists(), "it is forgotten once the file is seen"
    settings.ARTEFACT_ROOT.rename(tmp_path / "unmounted")
    answer = owner_browser.get(f"/api/v1/runs/{run.id}/artefacts/{saved[0].id}")
    assert "cannot be reached now" in answer.json()["detail"]
    assert not Artefact.objects.exclude(missing_since=None).exists(), "a missing root marks nothing"
