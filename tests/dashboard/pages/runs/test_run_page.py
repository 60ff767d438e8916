"""Run page: key figures, charts, absent metrics and the history of attempts."""

from __future__ import annotations

import math
import random
import time
from datetime import UTC, datetime

import pytest
from django.urls import reverse

from dashboard.charts.panels import SECTIONS
from dashboard.pages.runs.tabs import TABS
from engine.directory import AttemptDirectory, Placement
from engine.telemetry.metrics import FABRIC_METRICS, METRICS
from jobs import series
from jobs.attempts import log_search
from jobs.models import Attempt, Event, Lease, Node, Run, UploadedLog
from jobs.series import Point
from jobs.states.jobs import AttemptState, JobState
from tests.dashboard.conftest import set_state
from tests.dashboard.page_text import read_run_page


@pytest.fixture
def job(make_job):
    return set_state(make_job(), JobState.RUNNING, step=10, attempt_number=1)


def page(browser, run) -> str:
    return read_run_page(browser, run.id)


def panel_of(text: str, metric: str) -> str:
    start = text.index(f'data-metrics="{metric}')
    return text[start : text.index("</article>", start)]


def test_newest_values_are_shown_with_units(owner_browser, job, give_metrics):
    give_metrics(job.run, loss=2.34567, tokens_per_s=2390.0, step_s=0.857)
    text = page(owner_browser, job.run)
    assert "2.346" in text
    assert "2.39 k/s" in text
    assert "857 ms" in text


def test_a_diverged_loss_is_shown_as_nan(owner_browser, job, give_metrics):
    give_metrics(job.run, loss=math.nan)
    assert "<dd>NaN" in page(owner_browser, job.run)


def test_a_value_that_is_not_measured_shows_the_reason(owner_browser, job):
    Run.objects.update(missing={"run": {"mfu_share": ["unsupported", "No peak is known for this CPU."]}})
    text = page(owner_browser, job.run)
    assert "not measured" in text
    assert "No peak is known for this CPU." in text


def test_a_chart_without_readings_shows_the_reason(owner_browser, job):
    said = {"power_w": ["denied", "Only root may read it."]}
    Run.objects.update(missing={"device:a-0": said, "device:a-1": said})
    panel = panel_of(page(owner_browser, job.run), "power_w")
    assert 'data-state="absent"' in panel
    assert "denied: Only root may read it." in panel
    assert panel.count("Only root may read it.") == 1
    assert "(2 devices)" in panel


def test_a_chart_is_drawn_if_one_device_has_no_points(owner_browser, job):
    Run.objects.update(missing={"device:a-0": {"power_w": ["error", "The driver hangs."]}})
    series.append(job.run.id, 1, "node", 0, [Point("power_w", "device:a-1", None, time.time(), 55.0)])
    assert 'data-state="loading"' in panel_of(page(owner_browser, job.run), "power_w")


def test_an_ended_run_waits_for_no_points(owner_browser, job):
    set_state(job, JobState.SUCCEEDED)
    assert 'data-state="empty"' in panel_of(page(owner_browser, job.run), "loss")


def test_every_metric_is_in_a_panel():
    shown = {name for _, row in SECTIONS for panel in row for name in panel.metrics}
    assert shown == {metric.name for metric in METRICS if metric.is_charted}
    others = {metric.name for metric in METRICS} - shown - {metric.name for metric in FABRIC_METRICS}
    assert others == {"tokens"}, "a key figure, and an axis"


def test_metrics_of_one_panel_have_one_unit_and_scope():
    of = {metric.name: (metric.unit, metric.scope) for metric in METRICS}
    assert all(len({of[name] for name in panel.metrics}) == 1 for _, row in SECTIONS for panel in row)


def test_start_up_is_shown_by_phase(owner_browser, job, node, make_attempt):
    make_attempt(job, node, phases={"queued": 0.25, "imports": 0.5, "first_step": 0.75})
    text = page(owner_browser, job.run)
    assert "1.5 s to the first step" in text
    assert "250 ms" in text


def test_an_unfinished_start_up_shows_the_time_so_far(owner_browser, job, node, make_attempt):
    make_attempt(job, node, phases={"queued": 0.25})
    assert "250 ms so far" in page(owner_browser, job.run)


def test_a_failed_attempt_shows_its_reason_and_last_log_lines(owner_browser, job, node, make_attempt):
    said = {"reason": "Rank 1 was killed by signal 9.", "stderr_tail": "Traceback <most> recent"}
    make_attempt(job, node, state=AttemptState.FAILED, **said)
    text = page(owner_browser, job.run)
    assert "Rank 1 was killed by signal 9." in text
    assert "Traceback &lt;most&gt; recent" in text


def test_ranks_are_shown_on_their_devices(owner_browser, job, node, make_attempt):
    seat = {
        "rank": 1,
        "local_rank": 1,
        "device": "a-1",
        "device_kind": "cpu",
        "device_index": 1,
        "data_rank": 1,
        "stage": 0,
    }
    attempt = make_attempt(job, node, placement={"seats": [seat]})
    Lease.objects.create(attempt=attempt, device=node.devices.get(index=1), rank=1)
    assert "cpu share #1" in page(owner_browser, job.run)


def test_events_show_actor_and_reason_and_checkpoints_are_separate(owner_browser, job):
    Event.objects.create(job=job, actor="agent:a", kind="note.warning", text="The loss is not finite.")
    Event.objects.create(job=job, actor="rank0", kind="checkpoint", text="step-00000010", attempt_number=1)
    context = owner_browser.get(reverse("run", args=[job.run.id])).context
    files = owner_browser.get(reverse("run-files", args=[job.run.id])).context
    assert [event.text for event in files["checkpoint_events"]] == ["step-00000010"]
    assert ("agent:a", "The loss is not finite.") in [
        (event.actor, event.text) for event in context["events"]
    ]


def test_the_final_message_of_rank_attempt_and_job_is_shown_once(owner_browser, job):
    for kind in ("note.info", "attempt.succeeded", "job.succeeded"):
        Event.objects.create(job=job, actor="a", kind=kind, text="Finished all 20 steps.", attempt_number=1)
    Event.objects.create(
        job=job, actor="a", kind="job.succeeded", text="Finished all 20 steps.", attempt_number=2
    )
    events = owner_browser.get(reverse("run", args=[job.run.id])).context["events"]
    assert [(event.kind, event.text, event.attempt_number) for event in events][:3] == [
        ("job.succeeded", "Finished all 20 steps.", 2),
        ("job.succeeded", "Finished all 20 steps.", 1),
        ("attempt.succeeded", "", 1),
    ]
    assert "note.info" not in [event.kind for event in events]


def test_kinds_of_events_are_shown_as_text(owner_browser, job):
    Event.objects.create(job=job, actor="a", kind="note.warning", text="The loss is not finite.")
    text = page(owner_browser, job.run)
    assert ">job queued</b>" in text
    assert ">warning</b>" in text


def test_a_stacked_chart_lists_its_ranks(owner_browser, job):
    for rank in (0, 1, 10):
        series.append(
            job.run.id, 1, f"rank{rank}", 0, [Point("forward_s", f"rank{rank}", 1, time.time(), 0.5)]
        )
    sources = owner_browser.get(reverse("run", args=[job.run.id])).context["sources"]
    assert sources == [("rank0", "rank 0"), ("rank1", "rank 1"), ("rank10", "rank 10")]


def test_the_refreshed_head_includes_the_navigation_strip(owner_browser, job):
    part = owner_browser.get(reverse("run-part", args=[job.run.id, "head"])).text
    assert 'hx-swap-oob="true"' in part
    assert "hx-swap-oob" not in page(owner_browser, job.run)


def test_the_spec_can_be_copied_and_cloned(owner_browser, job):
    text = page(owner_browser, job.run)
    assert "layers: 4" in text
    assert f"{reverse('submit')}?from={job.run.id}" in text


def test_a_run_without_a_job_has_a_page(owner_browser, owner, team):
    run = Run.objects.create(team=team, owner=owner, name="logged from outside", spec={"lr": 0.1})
    assert "No metric yet" in page(owner_browser, run)
    assert owner_browser.get(reverse("run-log", args=[run.id])).status_code == 404


@pytest.mark.parametrize("name", ["head", "history"])
def test_a_part_can_be_refreshed(owner_browser, job, name):
    part = owner_browser.get(reverse("run-part", args=[job.run.id, name]))
    assert part.status_code == 200
    assert f'id="run-{name}"' in part.text
    assert "<html" not in part.text


def test_an_unknown_part_is_not_found(owner_browser, job):
    assert owner_browser.get(reverse("run-part", args=[job.run.id, "nonsense"])).status_code == 404


@pytest.mark.parametrize(
    "query", [{}, {"rank": "7"}, {"rank": "../../etc/passwd"}, {"rank": "9" * 400, "attempt": "x"}]
)
def test_a_missing_log_is_explained(owner_browser, job, query):
    answer = owner_browser.get(reverse("run-log", args=[job.run.id]), query)
    assert answer.status_code == 200
    assert "No attempt has begun yet." in answer.text


@pytest.mark.parametrize(
    "name", ["run", "run-log", "run-log-download", *(tab.route for tab in TABS.values())]
)
def test_a_stranger_gets_404(stranger_browser, job, name):
    assert stranger_browser.get(reverse(name, args=[job.run.id])).status_code == 404
    assert stranger_browser.get(reverse("run-part", args=[job.run.id, "head"])).status_code == 404


def test_a_waiting_job_shows_its_position_and_latest_start_or_the_reason(owner_browser, make_job):
    job = set_state(
        make_job(), JobState.QUEUED, position=3, waiting_reason="Behind 2 jobs.",
        expected_start_at=datetime(2026, 11, 23, 14, 5, tzinfo=UTC),
    )  # fmt: skip
    text = page(owner_browser, job.run)
    assert "Behind 2 jobs." in text
    shown = " ".join(text.split())
    assert "Position 3 in the queue." in shown
    assert "(2026-11-23 14:05 UTC), unless other jobs get ahead" in shown and "at the latest" in shown
    unknown = {"code": "QUOTA", "values": {}, "unknown_start": "It depends on the quota."}
    set_state(job, JobState.QUEUED, expected_start_at=None, waiting_for=unknown)
    text = page(owner_browser, job.run)
    assert "latest start not known: It depends on the quota." in text and "unless other jobs" not in text


def test_a_job_far_behind_shows_the_range_of_its_position(owner_browser, make_job):
    behind = {"code": "AHEAD", "values": {"n": 1000, "to": 1999}, "range": [1001, 2000]}
    job = set_state(
        make_job(), JobState.QUEUED, position=1001, waiting_reason="Behind 1,000 to 1,999 jobs.", waiting_for=behind,
    )  # fmt: skip
    assert "Position 1001–2000 in the queue" in " ".join(page(owner_browser, job.run).split())
    assert ">1001–2000</td>" in owner_browser.get("/queue/").text


def test_a_log_from_another_machine_shows_node_and_time(owner_browser, make_job):
    job = make_job()
    node = Node.objects.get()
    attempt = Attempt.objects.create(job=job, number=1, node=node, directory="/on/its/node")
    Lease.objects.create(attempt=attempt, device=node.devices.first(), rank=0)
    address = reverse("run-log", args=[job.run.id])
    text = owner_browser.get(address).text
    assert f"The log is on node {node.name}; its agent has been asked for it." in text
    assert "data-log-again" in text, "the page looks again by itself"
    at = datetime(2026, 11, 23, 14, 5, 6, tzinfo=UTC)
    UploadedLog.objects.update(text="step 7\nstep <8>", read_at=at, size_bytes=99)
    text = owner_browser.get(address).text
    assert "step &lt;8&gt;" in text
    assert f"From node {node.name}, read at 14:05:06 UTC." in text


class TestLog:
    LINES = ["first line", "loss 2.31", "Warning: slow", "<b>bold</b> LOSS 2.30", "last line"]

    @pytest.fixture
    def logged(self, job, node, settings):
        """A job whose newest attempt has a log of rank 0 on this machine."""
        Attempt.objects.create(job=job, node=node, number=1, directory="attempts/x")
        directory = AttemptDirectory(settings.NODE_DIR / "attempts/x")
        directory.log.mkdir(parents=True)
        placement = Placement(
            job=job.id, run=job.run.id, attempt=1, node="a", world_size=1, master_addr="", master_port=0, seats=(),
            threads_per_rank=1, lock_dir="", data_dir="", corpus_root="",
        )  # fmt: skip
        directory.write_placement(placement)
        (directory.log / "rank0.log").write_text("\n".join([*self.LINES, ""]))
        return job

    def test_a_search_ignores_case_and_shows_line_numbers(self, owner_browser, logged):
        text = owner_browser.get(reverse("run-log", args=[logged.run.id]), {"q": "LOSS"}).text
        assert "loss 2.31" in text and "&lt;b&gt;bold&lt;/b&gt; LOSS 2.30" in text and "last line" not in text
        assert '<i class="log-number">4</i>' in text and "2 of 5 lines" in text

    def test_a_text_that_no_line_holds_is_repeated_escaped(self, owner_browser, logged):
        text = owner_browser.get(reverse("run-log", args=[logged.run.id]), {"q": "<script>"}).text
        assert "No line contains “&lt;script&gt;”" in text

    def test_the_whole_log_is_downloaded(self, owner_browser, viewer_browser, logged):
        for browser in (owner_browser, viewer_browser):
            answer = browser.get(reverse("run-log-download", args=[logged.run.id]))
            assert b"".join(answer).decode().splitlines() == self.LINES
            assert f"{logged.run.id}-rank0.log" in answer["Content-Disposition"]

    def test_a_log_that_is_not_there_is_explained(self, owner_browser, logged):
        answer = owner_browser.get(
            reverse("run-log-download", args=[logged.run.id]), {"rank": "3"}, follow=True
        )
        assert answer.status_code == 200 and "Rank 3 has not written anything yet." in answer.text

    @pytest.mark.parametrize("seed", range(20))
    def test_a_search_finds_what_a_plain_reading_finds(self, tmp_path, seed):
        drawn = random.Random(seed)
        words = ["loss", "LOSS", "é", "\t", "", "x" * 300, "step 10"]
        lines = [" ".join(drawn.choices(words, k=drawn.randrange(5))) for _ in range(drawn.randrange(1500))]
        path = tmp_path / "rank0.log"
        path.write_bytes("\n".join(lines).encode() + drawn.choice([b"", b"\n", b"\xff broken"]))
        wanted = drawn.choice(["loss", "STEP", "É", "nowhere"])
        found = log_search.search_file(path, wanted)
        plain = path.read_bytes().decode("utf-8", "replace").split("\n")
        expected = [(n, line) for n, line in enumerate(plain, 1) if wanted.lower() in line.lower()]
        assert found.num_matches == len(expected)
        assert found.lines == expected[-log_search.MATCHES_LIMIT :]
