"""Files of runs over HTTP: listed page by page, and given back byte for byte."""

from __future__ import annotations

from jobs import artefacts


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
