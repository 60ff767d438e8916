"""Files of runs over HTTP: listed page by page, and given back byte for byte."""

from __future__ import annotations

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
