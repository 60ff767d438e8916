"""Logged models through MLflow's own client."""

from __future__ import annotations

import pytest
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException

from jobs.models import Artefact, RunEvent, SavedModel


def test_a_model_is_made_filled_finished_found_and_read_back(tracked, client, tmp_path):
    with tracked.start_run() as run:
        model = client._tracking_client.store.create_logged_model(
            "0", name="small", source_run_id=run.info.run_id, params=[], tags=[], model_type="Agent"
        )
        (tmp_path / "weights.bin").write_bytes(b"1234")
        client.log_model_artifacts(model.model_id, str(tmp_path))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        client.set_logged_model_tags(model.model_id, {"stage": "try", "by": "olga"})
        client.delete_logged_model_tag(model.model_id, "by")
    found = client.get_logged_model(model.model_id)
    assert (found.name, found.status, found.tags) == ("small", LoggedModelStatus.READY, {"stage": "try"})
    assert found.source_run_id == run.info.run_id
    assert [one.model_id for one in client.search_logged_models(["0"])] == [model.model_id]
    asked = f"name = 'small' AND source_run_id = '{run.info.run_id}'"
    assert [one.model_id for one in client.search_logged_models(["0"], asked)] == [model.model_id]
    assert not client.search_logged_models(["0"], "name = 'other'")
    assert [one.path for one in Artefact.objects.all()] == [f"models/{model.model_id}/weights.bin"]
    back = tracked.artifacts.download_artifacts(f"models:/{model.model_id}", dst_path=str(tmp_path / "back"))
    assert (tmp_path / "back" / "weights.bin").read_bytes() == b"1234" and back
    assert RunEvent.objects.filter(kind="run.model").count() == 1
    client.delete_logged_model(model.model_id)
    assert SavedModel.objects.get().archived_at and not client.search_logged_models(["0"])


def test_a_stranger_has_no_model_and_a_viewer_changes_none(api, api_of, stranger, viewer):
    made = api.post("logged-models", experiment_id="0", name="m", source_run_id=api.new_run())
    address = f"/api/2.0/mlflow/logged-models/{made.json()['model']['info']['model_id']}"
    body = {"data": {"status": "LOGGED_MODEL_READY"}, "content_type": "application/json"}
    for method, more in (("get", {}), ("patch", body), ("delete", {})):
        assert api_of(stranger).send(method, address, **more).status_code == 404
    assert api_of(viewer).send("get", address).status_code == 200
    for method, more in (("patch", body), ("delete", {})):
        assert api_of(viewer).send(method, address, **more).status_code == 403
    files = address.replace("mlflow/logged-models", "mlflow-artifacts/artifacts/0/models") + "/artifacts/a"
    assert api_of(stranger).send("put", files).status_code == 404


@pytest.mark.parametrize(
    ("body", "expected"),
    [({"name": "m"}, "source_run_id"), ({"name": "a/b", "source_run_id": "{run}"}, "is not a model name")],
)
def test_a_model_that_cannot_be_is_refused_in_words(api, body, expected):
    run = api.new_run()
    answer = api.post("logged-models", experiment_id="0", **{k: v.format(run=run) for k, v in body.items()})
    assert answer.status_code == 400 and expected in answer.json()["message"]


def test_a_model_that_is_not_there_is_said_in_the_clients_words(client):
    with pytest.raises(MlflowException, match="not found"):
        client.get_logged_model("m-nonsense")
