"""Page of a logged run: charts by section, uploads and status."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.pages.runs import external
from jobs import series
from jobs.models import Run, RunInput
from jobs.series import Point
from jobs.tracking import artefacts, external_runs, params
from jobs.tracking.run_status import get_status
from tests.dashboard.page_text import read_run_page


@pytest.fixture
def run(team, owner):
    return external_runs.create(team=team, owner=owner, name="mine", origin="mlflow", tags={"seed": "3"})


def log(run, *names, seq=0):
    series.append(
        run.id,
        1,
        f"w{seq}",
        0,
        [Point(name, "run", step, 1e9 + step, 1.5) for name in names for step in (1, 2)],
    )


def page(browser, run):
    return read_run_page(browser, run.id)


def test_metrics_with_a_slash_make_sections_and_other_names_keep_their_charts(owner_browser, run):
    log(run, "train/loss", "train/acc", "eval/word error rate", "loss", "speed of light", "system/cpu")
    recorded = {name.metric for name in series.names(run.id)}
    titles = [title for title, _ in external.build_sections(run, recorded, QueryDict())["sections"]]
    assert {"Learning", "train", "eval", "system"} <= set(titles)
    text = page(owner_browser, run)
    assert 'data-metrics="eval/word%20error%20rate"' in text and 'data-metrics="train/loss"' in text
    assert 'data-metrics="tokens_per_s"' not in text


def test_of_2023_metrics_the_losses_are_drawn_and_the_others_are_found_by_name(owner_browser, run):
    names = [f"activations/layer_{number:04}/mean" for number in range(2019)]
    log(run, *names, "train/loss", "train/kl_loss", "eval/accuracy", "zz/samples_per_second")
    text = page(owner_browser, run)
    assert "300 of 2,023" in text and "metrics drawn: losses, scores and throughput first" in text
    for name in ("train/loss", "train/kl_loss", "eval/accuracy", "zz/samples_per_second"):
        assert f'data-metrics="{name}"' in text
    assert text.index("train/loss") < text.index("train/kl_loss")
    found = owner_browser.get(f"/runs/{run.id}/charts/?find=LAYER_2018").text
    assert 'data-metrics="activations/layer_2018/mean"' in found and 'data-metrics="train/loss"' not in found
    assert "All 2,023 metrics" in found
    assert "No metric" in owner_browser.get(f"/runs/{run.id}/charts/?find=nowhere").text


def test_uploads_and_inputs_are_on_the_page(owner_browser, run):
    params.store(run, {"lr": "0.0003"})
    external_runs.add_inputs(run, [RunInput(name="wiki", digest="abc", context="training")])
    saved = artefacts.save(run, "plots/loss.png", [b"12", b"345"], actor="olga")
    child = external_runs.create(team=run.team, owner=run.owner, name="fold 1", origin="mlflow", parent=run)
    text = page(owner_browser, run)
    for said in ("0.0003", "seed", "wiki", "loss.png", "5 B", "fold 1", "logged by mlflow"):
        assert said in text, said
    assert f"/runs/{run.id}/artefacts/{saved.id}/" in text
    assert f"/runs/{run.id}/" in page(owner_browser, child)


def test_a_run_without_metrics_is_explained(owner_browser, run):
    text = page(owner_browser, run)
    assert "No metric yet" in text


def test_the_newest_values_are_shown_with_their_range(owner_browser, run):
    log(run, "zeta", "val/loss")
    external_runs.touch(run)
    series.append(run.id, 1, "late", 0, [Point("val/loss", "run", 3, 2e9, float("nan"))])
    assert [row.key for row in external.get_key_metrics(run)] == ["val/loss", "zeta"]
    text = page(owner_browser, run)
    assert "NaN" in text and "1.5 to 1.5 in 3 points" in text


def test_a_run_with_a_silent_writer_is_shown_as_silent(owner_browser, run):
    assert "running, silent" not in page(owner_browser, run)
    Run.objects.filter(id=run.id).update(last_seen_at=timezone.now() - timedelta(minutes=47))
    text = page(owner_browser, run)
    assert "running, silent" in text and "has been silent since" in text
    external_runs.set_state(run, "succeeded", actor="olga")
    assert "silent" not in page(owner_browser, run)


def test_the_duration_of_a_silent_run_ends_with_its_last_log(run):
    now = timezone.now()
    run.started_at, run.last_seen_at = now - timedelta(hours=3), now - timedelta(hours=1)
    assert get_status(run, now).took_s == pytest.approx(7200)
    run.last_seen_at = now
    assert get_status(run, now).took_s == pytest.approx(10800)


def test_only_the_team_can_download_a_file(owner_browser, viewer_browser, stranger_browser, client, run):
    saved = artefacts.save(run, "deep/notes.html", [b"<b>hello</b>"], actor="olga")
    address = f"/runs/{run.id}/artefacts/{saved.id}/"
    for browser in (owner_browser, viewer_browser):
        answer = browser.get(address)
        assert b"".join(answer) == b"<b>hello</b>"
        assert answer["Content-Disposition"] == "attachment; filename*=UTF-8''notes.html"
        assert answer["Content-Type"] == "application/octet-stream"
    assert stranger_browser.get(address).status_code == 404
    assert client.get(address).status_code == 302
    assert owner_browser.get(f"/runs/{run.id}/artefacts/nonsense/").status_code == 404


def test_more_rows_take_the_same_number_of_queries(owner_browser, run):
    def add(number):
        params.store(run, {f"p{number}": "1"})
        external_runs.set_tags(run, {f"t{number}": "1"})
        log(run, f"m{number}", seq=number)
        artefacts.save(run, f"f{number}/a", [b"1"], actor="olga")
        external_runs.create(team=run.team, owner=run.owner, name=f"c{number}", origin="x", parent=run)

    add(0)
    page(owner_browser, run)
    with CaptureQueriesContext(connection) as few:
        page(owner_browser, run)
    for number in range(1, 4):
        add(number)
    with CaptureQueriesContext(connection) as many:
        page(owner_browser, run)
    assert len(many) == len(few)


def test_events_of_a_logged_run_reach_listeners(run):
    from dashboard.live.watcher import DatabaseWatcher

    watch = DatabaseWatcher()
    watch.changes()
    external_runs.set_state(run, "failed", actor="olga")
    [change] = [change for change in watch.changes() if change.event == "job"]
    assert (change.id, change.team_id, change.data["run"], change.data["state"]) == (
        run.id, run.team_id, run.id, "failed",
    )  # fmt: skip
    assert not [change for change in watch.changes() if change.event == "job"]


def test_a_run_that_counts_as_killed_shows_the_reason(owner_browser, run):
    Run.objects.filter(id=run.id).update(last_seen_at=timezone.now() - timedelta(days=1))
    external_runs.fail_silent_runs()
    text = page(owner_browser, run)
    assert "sent nothing for 6 h" in text and "counts as killed" in text and "running, silent" not in text
