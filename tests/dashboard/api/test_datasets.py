"""Data sets over the API: a file in, its report out, in the caller's teams only."""

from __future__ import annotations

import pytest

from jobs.models import Dataset

pytestmark = pytest.mark.django_db
GOOD, BAD = b'{"text": "good", "label": "happy"}\n', b"nonsense\n"


def upload(browser, content, **body):
    query = "&".join(f"{name}={value}" for name, value in {"file_name": "moods.jsonl", **body}.items())
    return browser.post(f"/api/v1/datasets?{query}", content, content_type="application/octet-stream")


def test_a_file_is_uploaded_kept_listed_and_deleted(owner_browser):
    answer = upload(owner_browser, GOOD + BAD, name="moods", licence="CC0")
    assert answer.status_code == 201
    made = answer.json()
    assert (made["state"], made["num_good"], made["num_bad"]) == ("draft", 1, 1)
    assert made["corpus"] == f"dataset:{made['id']}"
    path = f"/api/v1/datasets/{made['id']}"
    assert b"nonsense" in b"".join(owner_browser.get(f"{path}/refused").streaming_content)
    assert owner_browser.post(f"{path}/keep").json()["state"] == "ready"
    assert [one["name"] for one in owner_browser.get("/api/v1/datasets").json()["items"]] == ["moods"]
    assert owner_browser.delete(path).status_code == 204
    assert owner_browser.get(path).json()["archived_at"]


def test_what_cannot_be_taken_is_a_sentence(owner_browser):
    answer = upload(owner_browser, b"\x1f\x8b\x08")
    assert answer.status_code == 422
    assert "a gzip file" in answer.json()["detail"]
    assert upload(owner_browser, GOOD, file_name="moods.zip").status_code == 422


def test_strangers_and_viewers_get_404(owner_browser, stranger_browser, viewer_browser):
    path = f"/api/v1/datasets/{upload(owner_browser, GOOD + BAD).json()['id']}"
    assert (
        stranger_browser.get(path).status_code == stranger_browser.get(f"{path}/refused").status_code == 404
    )
    assert stranger_browser.get("/api/v1/datasets").json()["items"] == []
    for browser in (stranger_browser, viewer_browser):
        assert browser.post(f"{path}/keep").status_code == browser.delete(path).status_code == 404
    assert upload(viewer_browser, GOOD).status_code == 404
    assert Dataset.objects.get().state == "draft"
