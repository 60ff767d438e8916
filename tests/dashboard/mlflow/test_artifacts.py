"""Artifacts through MLflow's own client."""

from __future__ import annotations

import os
import threading

import pytest
from requests.exceptions import HTTPError

from jobs.models import Artefact, Run
from jobs.tracking import artefacts


def test_files_and_folders_come_back_byte_for_byte(tracked, client, tmp_path):
    data = os.urandom(3 * 1024 * 1024 + 17)
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "weights.bin").write_bytes(data)
    (tmp_path / "out" / "deep" / "ünïcode name 1.txt").write_text("hello")
    (tmp_path / "out" / "empty").write_bytes(b"")
    with tracked.start_run() as run:
        tracked.log_artifacts(str(tmp_path / "out"), "model")
        tracked.log_text("note", "note.txt")
    run_id = run.info.run_id
    assert [(one.path, one.is_dir, one.file_size) for one in client.list_artifacts(run_id)] == [
        ("model", True, None),
        ("note.txt", False, 4),
    ]
    assert [one.path for one in client.list_artifacts(run_id, "model")] == [
        "model/deep",
        "model/empty",
        "model/weights.bin",
    ]
    back = tmp_path / "back"
    tracked.artifacts.download_artifacts(run_id=run_id, dst_path=str(back))
    assert (back / "model" / "weights.bin").read_bytes() == data
    assert (back / "model" / "deep" / "ünïcode name 1.txt").read_text() == "hello"
    assert (back / "model" / "empty").read_bytes() == b""
    assert tracked.artifacts.load_text(f"runs:/{run_id}/note.txt") == "note"


def test_a_file_that_is_logged_again_replaces_the_one_before(tracked):
    with tracked.start_run() as run:
        tracked.log_text("one", "a.txt")
        tracked.log_text("two", "a.txt")
    assert tracked.artifacts.load_text(f"runs:/{run.info.run_id}/a.txt") == "two"
    [kept] = artefacts.folder_of(Run.objects.get()).iterdir()
    assert kept.name == Artefact.objects.get().id


def test_artifacts_are_deleted_one_by_one_and_by_folder(tracked, client):
    with tracked.start_run() as run:
        for name in ("a/1", "a/2", "ab/3"):
            tracked.log_text("x", name)
    repository = client._tracking_client._get_artifact_repo(run.info.run_id)
    repository.delete_artifacts("a")
    assert [one.path for one in Artefact.objects.all()] == ["ab/3"]
    assert len(list(artefacts.folder_of(Run.objects.get()).iterdir())) == 1


def test_a_file_above_the_limit_is_refused_and_leaves_nothing(tracked, settings):
    settings.ARTEFACT_LIMIT_BYTES = 1000
    with tracked.start_run(), pytest.raises(HTTPError, match="1,000"):
        tracked.log_text("x" * 1001, "big.txt")
    assert not Artefact.objects.exists()
    assert not artefacts.folder_of(Run.objects.get()).exists()


def put(api, path, data=b"x"):
    return api.send(
        "put",
        f"/api/2.0/mlflow-artifacts/artifacts/{path}",
        data=data,
        content_type="application/octet-stream",
    )


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "a/./x", "a//x", "%2e%2e/x", "a/%2e%2e/%2e%2e/x", "a\\x", "a/..", "%00", "a" * 501],
)
def test_a_path_that_leads_elsewhere_is_refused(api, path):
    answer = put(api, f"0/{api.new_run()}/artifacts/{path}")
    assert answer.status_code in (400, 404), answer.content
    assert not Artefact.objects.exists()


def test_what_is_a_folder_cannot_become_a_file_nor_the_other_way(api):
    run = f"0/{api.new_run()}/artifacts"
    assert put(api, f"{run}/a/b").status_code == 200
    assert "is a folder" in put(api, f"{run}/a").json()["message"]
    assert "is a file" in put(api, f"{run}/a/b/c").json()["message"]


def test_a_file_is_sent_as_something_to_save_and_never_as_a_page(api):
    run = f"0/{api.new_run()}/artifacts"
    put(api, f"{run}/page.html", b"<script>alert(1)</script>")
    answer = api.send("get", f"/api/2.0/mlflow-artifacts/artifacts/{run}/page.html")
    assert b"".join(answer) == b"<script>alert(1)</script>"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer["Content-Security-Policy"]


def test_a_run_is_found_only_under_its_own_experiment(api):
    run_id = api.new_run()
    assert put(api, f"7/{run_id}/artifacts/a").status_code == 404
    assert put(api, f"0/{run_id}/elsewhere/a").status_code == 400


def test_two_writers_of_one_path_leave_one_file(tracked, client):
    with tracked.start_run() as run:
        texts = [f"text {number}" for number in range(6)]
        threads = [
            threading.Thread(target=client.log_text, args=(run.info.run_id, text, "same.txt"))
            for text in texts
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert tracked.artifacts.load_text(f"runs:/{run.info.run_id}/same.txt") in texts
    assert len(list(artefacts.folder_of(Run.objects.get()).iterdir())) == 1
