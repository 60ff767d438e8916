"""Checkpoints on the page and in the API: download, fine-tuning, resuming in another layout, lineage."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from engine.spec.spec import parse
from jobs.models import Checkpoint, Job
from jobs.states.jobs import JobState
from tests.dashboard.conftest import set_state
from tests.dashboard.page_text import read_run_page
from tests.engine.checkpoints.sample_checkpoints import build_zero_weights, write_checkpoint

SMALL = (
    "model.layers=1", "model.width=8", "model.heads=2", "model.ffn_width=8", "model.context=8", "data.tokenizer=bytes",
)  # fmt: skip


@pytest.fixture
def parent(make_job, tmp_path, node) -> Job:
    """A failed job with real checkpoints at steps 10 and 20; the first is the better one."""
    job = set_state(make_job(*SMALL, name="parent"), JobState.FAILED, attempt_number=1)
    attempt = job.attempts.create(number=1, node=node, state="failed", directory=str(tmp_path))
    spec = parse(job.spec)
    weights = build_zero_weights(spec)
    for step, loss in ((10, 1.5), (20, 1.75)):
        path = write_checkpoint(tmp_path / "checkpoints", spec, weights, step)
        Checkpoint.objects.create(
            run=job.run, attempt=attempt, step=step, path=str(path), size_bytes=4096, validation_loss=loss,
            saved_at=timezone.now(),
        )  # fmt: skip
    return job


def page(browser: Any, job: Job) -> str:
    return read_run_page(browser, job.run.id)


def names_in(answer: Any) -> list[str]:
    content = b"".join(answer)
    assert len(content) == int(answer["Content-Length"])
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return sorted(tar.getnames())


def test_the_page_lists_checkpoints_with_loss_size_and_actions(owner_browser, parent):
    text = page(owner_browser, parent)
    section = text[text.index('id="checkpoints-title"') :].partition("</section>")[0]
    assert section.index("Step 20") < section.index("Step 10")
    assert "validation loss 1.5" in section and "attempt 1 on a" in section
    assert (
        section.count("Fine-tune from this checkpoint")
        == len(re.findall(r">\s*Hugging Face\s*<", section))
        == 2
    )
    assert section.index("newest") < section.index("Step 10") < section.index("best")


def test_fine_tune_opens_the_form_with_the_checkpoint_in_it(owner_browser, parent):
    address = f"{reverse('submit')}?from={parent.run.id}&set=start_from%3D{parent.run.id}%4010"
    assert address.replace("&", "&amp;") in page(owner_browser, parent)
    assert f'value="{parent.run.id}@10"' in owner_browser.get(address).text


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("checkpoint", ["manifest.json", "rank0.safetensors"]),
        ("huggingface", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]),
    ],
)
def test_its_files_are_downloaded_as_one_tar(owner_browser, parent, form, found, settings):
    answer = owner_browser.get(reverse("run-checkpoint", args=[parent.run.id, 20, form]))
    assert [name.split("/")[1] for name in names_in(answer)] == found
    assert not list(Path(settings.ARTEFACT_ROOT).glob("export-*")), "what was made for it is gone"


def test_a_stranger_gets_404_for_files_and_layout(stranger_browser, parent):
    assert (
        stranger_browser.get(reverse("run-checkpoint", args=[parent.run.id, 20, "checkpoint"])).status_code
        == 404
    )
    assert stranger_browser.post(reverse("run-layout", args=[parent.run.id])).status_code == 404


def test_files_on_another_machine_show_their_node(owner_browser, parent):
    Checkpoint.objects.filter(step=20).update(path="/elsewhere/step-00000020")
    assert "Its files are on node a, which this machine cannot read: /elsewhere" in page(
        owner_browser, parent
    )
    answer = owner_browser.get(reverse("run-checkpoint", args=[parent.run.id, 20, "checkpoint"]), follow=True)
    assert "Its files are on node a" in answer.text


def test_a_model_that_cannot_be_exported_shows_the_reason(owner_browser, parent):
    parent.run.spec["model"]["positions"] = "sinusoidal"
    parent.run.save()
    text = page(owner_browser, parent)
    assert "Hugging Face" not in text
    assert "The model matches neither GPT-2 nor Llama" in text


def test_a_failed_job_resumes_in_another_layout(owner_browser, parent):
    assert "Retry in another layout" in page(owner_browser, parent)
    values = {
        "parallel.data": "1",
        "parallel.stages": "1",
        "parallel.zero_stage": "3",
        "batch.micro_batch_size": "8",
    }
    owner_browser.post(reverse("run-layout", args=[parent.run.id]), values)
    job = Job.objects.get(id=parent.id)
    assert (job.state, job.num_devices, job.spec["parallel"]["zero_stage"]) == (JobState.QUEUED, 1, 3)
    assert job.run.params.get(key="parallel.data").value == "1"
    said = job.events.get(kind="job.layout")
    assert said.actor == "olga"
    assert said.text == "Layout changed: parallel.data 2 -> 1, parallel.zero_stage 1 -> 3."


def test_an_impossible_layout_is_refused_with_the_reason(owner_browser, parent):
    answer = owner_browser.post(
        reverse("run-layout", args=[parent.run.id]), {"parallel.data": "7"}, follow=True
    )
    assert "is not a multiple of micro-batch x data parallel" in answer.text
    assert Job.objects.get(id=parent.id).state == JobState.FAILED


def test_the_lineage_is_shown_on_the_page_and_in_the_api(owner_browser, parent, make_job):
    child = make_job(*SMALL, f"start_from={parent.run.id}@10", name="child")
    text = page(owner_browser, child)
    section = text[text.index('id="lineage-title"') :]
    assert section.index("parent") < section.index("its weights at step 10") < section.index("this run")
    above = page(owner_browser, parent)
    assert "from step 10" in above[above.index('id="lineage-title"') :]
    told = owner_browser.get(f"/api/v1/runs/{parent.run.id}/lineage").json()
    assert told["children"] == [{"run": child.run.id, "name": "child", "step": 10}]
    told = owner_browser.get(f"/api/v1/runs/{child.run.id}/lineage").json()
    assert told["ancestors"] == [{"run": parent.run.id, "name": "parent", "step": 10}]


def test_a_run_without_relatives_has_no_lineage(owner_browser, parent):
    assert "lineage-title" not in page(owner_browser, parent)


def test_the_api_lists_checkpoints_with_the_spec_value_to_start_from(owner_browser, parent):
    rows = owner_browser.get(f"/api/v1/runs/{parent.run.id}/checkpoints").json()
    assert [(row["step"], row["is_best"], row["start_from"]) for row in rows] == [
        (20, False, f"{parent.run.id}@20"),
        (10, True, f"{parent.run.id}@10"),
    ]
    assert rows[0]["forms"] == ["checkpoint", "huggingface"]
    answer = owner_browser.get(f"/api/v1/runs/{parent.run.id}/checkpoints/10/files?form=huggingface")
    assert len(names_in(answer)) == 4


def test_the_api_changes_the_layout_and_refuses_other_fields(owner_browser, parent):
    def ask(body: dict[str, Any]) -> Any:
        return owner_browser.post(
            f"/api/v1/jobs/{parent.id}/layout", json.dumps(body), content_type="application/json"
        )

    assert ask({"parallel": {"data": 1}}).json()["num_devices"] == 1
    refused = ask({"optimiser": {"learning_rate": 1.0}})
    assert refused.status_code == 422
    assert "A started job cannot change optimiser.learning_rate" in refused.text


def test_the_command_exports_a_checkpoint_and_lists_the_steps(parent, tmp_path):
    said = io.StringIO()
    call_command("checkpoint", "export", parent.run.id, str(tmp_path / "out"), "--step", "10", stdout=said)
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert "step 10, is exported to" in said.getvalue() and "layout of GPT-2" in said.getvalue()
    with pytest.raises(CommandError, match="it has steps: 20, 10"):
        call_command("checkpoint", "export", parent.run.id, str(tmp_path / "other"), "--step", "11")
    with pytest.raises(CommandError, match="is not empty"):
        call_command("checkpoint", "export", parent.run.id, str(tmp_path / "out"), "--best")
