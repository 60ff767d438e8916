"""Commands for people and scripts: submit, runs, cancel, retry and others."""

from __future__ import annotations

import io
import json
import threading

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from jobs.attempts.ingest import ingest
from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Job, Run, RunMetric
from jobs.people import accounts
from jobs.scheduler import loop
from jobs.states.jobs import JobState
from jobs.tracking import external_runs
from tests.jobs.fake_supervisor import step_line, write_spool
from tests.jobs.placed_jobs import claim

pytestmark = pytest.mark.django_db


def manage(*arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_a_preset_is_submitted_for_admin(node, settings):
    code, out, _ = manage("submit", "demo", "--json")
    job = Job.objects.get()
    assert code == 0
    assert json.loads(out) == {
        "job": job.id,
        "run": job.run.id,
        "state": "queued",
        "step": 0,
        "url": f"{settings.BASE_URL}/runs/{job.run.id}/",
    }
    assert (job.name, job.owner.username, job.team.slug) == ("demo", "admin", "default")


def test_a_file_with_changes_is_submitted_for_a_user(node, owner, make_node, tmp_path):
    make_node("g", pool="gpus")
    path = tmp_path / "spec.yaml"
    path.write_text("name: from file\nmodel: {layers: 3}\n")
    manage(
        "submit",
        str(path),
        "--set",
        "model.width=64",
        "--set",
        "budget.steps=50",
        "--pool",
        "gpus",
        "--user",
        "olga",
    )
    job = Job.objects.get()
    assert (job.name, job.pool.name, job.owner) == ("from file", "gpus", owner)
    assert (job.spec["model"]["layers"], job.spec["model"]["width"], job.num_steps) == (3, 64, 50)


def test_each_problem_is_printed_on_a_line_with_its_field(node):
    code, out, err = manage("submit", "demo", "--set", "model.heads=3", "--set", "parallel.stages=9")
    assert code == 2 and not out
    fields = [line.split(":")[0] for line in err.splitlines()]
    assert "model.heads" in fields and "parallel.stages" in fields
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"model: [", "not readable YAML"),
        (b"modle: {layers: 2}", "Did you mean 'model'"),
        (b"- 1\n- 2", "mapping of fields"),
        (b"a: &x 1\nb: *x", "aliases"),
        (b"name: " + b"x" * 10_000_000, "limit"),
        (b"budget: {steps: .nan}", "steps"),
    ],
)
def test_an_unreadable_spec_is_reported_in_one_sentence(node, tmp_path, content, sentence):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    code, _, err = manage("submit", str(path))
    assert code == 2 and sentence in err
    assert not Job.objects.exists()


def test_an_unknown_spec_name_lists_the_presets(node):
    with pytest.raises(CommandError, match=r"neither a file nor a preset.*demo"):
        manage("submit", "dmeo")


def test_fit_adapts_the_spec_to_the_pool_and_prints_the_changes(make_node):
    make_node("one", devices=1)
    assert manage("submit", "demo")[0] == 2
    code, _, err = manage("submit", "demo", "--fit")
    assert code == 0 and "parallel.data=1" in err
    assert Job.objects.get().spec["parallel"]["data"] == 1


def test_a_viewer_cannot_submit(node, viewer):
    with pytest.raises(CommandError, match="may not submit in any team"):
        manage("submit", "demo", "--user", "vera")
    with pytest.raises(CommandError, match="does not exist or is inactive"):
        manage("submit", "demo", "--user", "stranger")


def test_runs_prints_all_values_that_a_script_needs(make_job, settings, give_metrics):
    attempt, _ = claim(make_job(), settings.NODE_DIR)
    attempt.phases = {"imports": 1.0, "queued": 0.5}
    attempt.resumed_from = "/somewhere/step-00000040"
    attempt.save()
    give_metrics(attempt.job.run, loss=2.5)
    row = json.loads(manage("runs", "--json")[1])
    assert (row["state"], row["attempt"], row["resumed_from_step"], row["metrics"]) == (
        "starting", 1, 40, {"loss": 2.5},
    )  # fmt: skip
    assert list(row["phases"].items()) == [("queued", 0.5), ("imports", 1.0)]


def test_runs_are_filtered_and_sorted(make_job, owner, team, give_metrics):
    low, high = make_job(name="low"), make_job(name="high")
    give_metrics(low.run, loss=1.0)
    give_metrics(high.run, loss=2.0)
    external_runs.create(team=team, owner=owner, name="logged", origin="test")
    names = [line.split()[1] for line in manage("runs", "--sort=-loss")[1].splitlines()]
    assert names == ["high", "low", "logged"]
    assert "low" in manage("runs", "--filter", "loss < 1.5 and model.layers > 0")[1]
    rows = [json.loads(line) for line in manage("runs", "--json", "--filter", "logged")[1].splitlines()]
    assert [(row["job"], row["name"], row["state"]) for row in rows] == [(None, "logged", "running")]
    with pytest.raises(CommandError, match=r"needs one[^^]*\n  loss < x\n         \^$"):
        manage("runs", "--filter", "loss < x")


def test_runs_prints_one_line_per_run(make_job):
    first, second = make_job(name="first"), make_job(name="second")
    lines = manage("runs")[1].splitlines()
    assert [line.split()[0] for line in lines] == [second.id, first.id]
    assert "queued" in lines[0]


def test_cancel_and_retry_print_the_state_of_the_job(make_job):
    job = make_job()
    assert manage("cancel", job.id)[1] == f"Job {job.id} is cancelled.\n"
    with pytest.raises(CommandError, match="already been cancelled"):
        manage("cancel", job.id)
    assert manage("retry", job.id)[1] == f"Job {job.id} is queued.\n"
    with pytest.raises(CommandError, match="only a failed or cancelled"):
        manage("retry", job.id)
    with pytest.raises(CommandError, match="does not exist"):
        manage("cancel", "nothing")


def test_pause_and_resume_print_the_state_of_the_job(make_job, team_mate):
    job = make_job()
    assert manage("pause", job.id, "--user", "tom")[1] == f"Job {job.id} is paused.\n"
    assert job.events.last().actor == "tom"
    assert manage("resume", job.id)[1] == f"Job {job.id} is queued.\n"
    with pytest.raises(CommandError, match="only a paused job"):
        manage("resume", job.id)


def test_a_template_is_saved_listed_submitted_and_deleted(node, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("name: ours\nmodel: {layers: 3}\n")
    assert manage("template", "save", "small", str(path), "--description", "To try")[1].endswith(
        "version 1.\n"
    )
    assert manage("template", "save", "small", str(path), "--description", "To try")[1].endswith(
        "version 2.\n"
    )
    assert "To try" in manage("template", "list")[1]
    manage("submit", "--template", "small", "--set", "seed=5")
    job = Job.objects.get()
    assert (job.template.name, job.spec["model"]["layers"], job.spec["seed"]) == ("small", 3, 5)
    manage("template", "delete", "small")
    with pytest.raises(CommandError, match=r"has no template 'small'\. Known templates: none"):
        manage("submit", "--template", "small")


def test_a_run_is_cloned_with_changes(node):
    manage("submit", "demo", "--set", "seed=5")
    origin = Run.objects.get()
    manage("submit", "--clone", origin.id, "--set", "model.layers=2")
    clone = Job.objects.exclude(id=origin.job_id).get()
    assert (clone.cloned_from, clone.spec["seed"], clone.spec["model"]["layers"]) == (origin, 5, 2)
    with pytest.raises(CommandError, match="Name one of"):
        manage("submit", "demo", "--clone", origin.id)


class TestWait:
    pytestmark = pytest.mark.django_db(transaction=True)

    def outcome(self, node, to: str, *arguments: str) -> tuple[int, list[str]]:
        """Submit with --wait while another thread takes the job to its end."""

        def lead() -> None:
            try:
                while not (job := Job.objects.first()):
                    pass
                loop.schedule(job.pool)
                attempt = job.attempts.get()
                move_attempt(attempt.id, "starting", actor="test")
                move_job(job.id, JobState.STARTING, actor="test")
                RunMetric.objects.create(run=job.run, key="loss", last=1.25, last_at_us=1)
                move_job(job.id, to, actor="test", reason="The end.")
            finally:
                connection.close()

        accounts.ensure_first_team_and_user()
        leader = threading.Thread(target=lead)
        leader.start()
        code, out, _ = manage("submit", "demo", "--wait", *arguments)
        leader.join()
        return code, out.splitlines()

    def test_it_exits_with_zero_only_on_success(self, node):
        assert self.outcome(node, JobState.SUCCEEDED)[0] == 0

    def test_it_exits_with_one_on_failure(self, node):
        assert self.outcome(node, JobState.FAILED)[0] == 1

    def test_the_last_line_has_the_final_metrics(self, node):
        _, lines = self.outcome(node, JobState.SUCCEEDED, "--json")
        assert json.loads(lines[0])["state"] == "queued"
        last = json.loads(lines[-1])
        assert (last["state"], last["reason"], last["metrics"]) == ("succeeded", "The end.", {"loss": 1.25})

    def test_only_results_are_printed_without_a_terminal(self, node):
        _, lines = self.outcome(node, JobState.SUCCEEDED)
        assert len(lines) == 2
        assert lines[1].startswith("Job ") and "succeeded: The end." in lines[1]


def test_runs_prints_the_progress_of_a_job(make_job, settings):
    attempt, directory = claim(make_job("budget.steps=40"), settings.NODE_DIR)
    write_spool(directory, step_line(10, 3.25))
    ingest(attempt)
    assert "running 10/40  loss 3.25" in manage("runs")[1]
