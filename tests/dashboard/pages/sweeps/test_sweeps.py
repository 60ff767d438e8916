"""Sweeps on pages: preview on the submit page, sweep page and actions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from engine.spec.presets import preset
from jobs.models import Job, Run, RunMetric, Sweep
from jobs.states.jobs import JobState
from jobs.sweeps import advance, sweep_actions
from tests.dashboard.conftest import fields_of

LR = "optimiser.learning_rate"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def browser(owner_browser, node):
    return owner_browser


@pytest.fixture
def sweep(make_spec, node, team, owner) -> Sweep:
    values = {"vary": {LR: [0.1, 0.2, 0.3], "model.heads": [2, 4]}, "parallel": 6, "metric": "loss"}
    return sweep_actions.submit(spec=make_spec(devices=1), values=values, team=team, owner=owner)


def posted(*rows: tuple[str, str], **options: Any) -> dict[str, str]:
    data = fields_of(preset("demo")) | {"sweep.on": "true"}
    for at, (path, text) in enumerate(rows):
        data |= {f"sweep.path.{at}": path, f"sweep.values.{at}": text}
    return data | {f"sweep.{name}": str(value) for name, value in options.items()}


def recorded(sweep: Sweep, number: int, loss: float, state: str = JobState.RUNNING, step: int = 10) -> Run:
    run = Run.objects.get(job__sweep=sweep, job__sweep_number=number)
    RunMetric.objects.create(
        run=run, key="loss", last=loss, last_step=step, last_at_us=1, low=loss, high=loss
    )
    Job.objects.filter(id=run.job_id).update(state=state, step=step)
    return run


def page_of(browser, sweep: Sweep):
    return browser.get(reverse("sweep", args=[sweep.id]))


def test_the_typed_values_become_a_sweep(browser):
    data = posted((LR, "1e-4..1e-2 log"), ("model.layers", "2, 4"), strategy="random", count=5, parallel=2)
    answer = browser.post(reverse("sweep-submit"), data, follow=True)
    sweep = Sweep.objects.get()
    assert answer.redirect_chain[-1][0] == reverse("sweep", args=[sweep.id])
    assert len(sweep.points) == 5 and {point["model.layers"] for point in sweep.points} <= {2, 4}
    assert sweep.jobs.count() == 2 and sweep.events.get().actor == "olga"


def test_the_preview_counts_runs_and_refused_points(browser):
    said = browser.post(reverse("submit-check"), posted(("model.heads", "2, 3, 4"))).json()["sweep"]
    assert "2 runs</b> of 3; 1 left out" in " ".join(said.split())
    assert "#2" in said and "do not divide the width" in said
    assert not Sweep.objects.exists()


def test_the_preview_shows_rungs_and_the_largest_number_of_steps(browser):
    data = posted((LR, "1e-4..1e-2 log"), strategy="halving", count=8, eta=2, first_steps=50, budget="")
    said = browser.post(reverse("submit-check"), data | {"budget.steps": "200"}).json()["sweep"]
    # 8 x 50 to the first rung, 4 x 50 to the second, 2 x 100 to the end
    said = " ".join(said.split())
    assert "8 runs" in said and "800 steps at most" in said and "compared after 50, 100" in said


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([], {}, "No field varies"),
        ([(LR, "")], {}, "No field varies"),
        ([("model.layers", "many")], {}, "None of 1 runs can run"),
        ([(LR, "1..2 log")], {"strategy": "random", "count": "lots"}, "is not a whole number"),
        ([("model.heads", "3, 5")], {}, "None of 2 runs can run"),
    ],
)
def test_an_invalid_sweep_is_refused_with_the_typed_texts(browser, rows, options, said):
    answer = browser.post(reverse("sweep-submit"), posted(*rows, **options) | {"seed": "4711"})
    assert answer.status_code == 422
    assert said in " ".join(answer.text.split()) and 'value="4711"' in answer.text
    for _, text in rows:
        assert f'value="{text}"' in answer.text
    assert not Sweep.objects.exists() and not Job.objects.exists()


def test_the_page_lists_runs_best_first_with_their_values(browser, sweep):
    for number, loss in ((1, 3.0), (5, 1.5), (4, 2.0)):
        recorded(sweep, number, loss)
    answer = page_of(browser, sweep)
    assert [row.number for row in answer.context["rows"]] == [5, 4, 1, 2, 3, 6]
    assert answer.context["best"].values == {LR: 0.2, "model.heads": 4}
    assert "Best so far" in answer.text and "6 runs, 6 in parallel" in answer.text


def test_a_refused_point_is_listed_with_the_reason(browser, make_spec, team, owner):
    values = {"vary": {"model.heads": [2, 3]}}
    sweep = sweep_actions.submit(spec=make_spec(devices=1), values=values, team=team, owner=owner)
    assert "do not divide the width" in page_of(browser, sweep).text


def test_dots_are_at_the_positions_of_their_values(browser, sweep):
    for number, loss in ((1, 4.0), (2, 2.0), (3, 1.0)):
        recorded(sweep, number, loss)
    heads, lr = page_of(browser, sweep).context["scatters"]
    assert (lr.path, heads.path) == (LR, "model.heads")
    dots = lr.plot.dots
    assert ["is-best" in dot.tone for dot in dots] == [True, False, False]
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    assert xs == sorted(xs, reverse=True) and ys == sorted(ys, reverse=True), "lower is further down"


def test_a_diverged_run_has_a_row_and_no_dot(browser, sweep):
    recorded(sweep, 1, 2.0)
    run = Run.objects.get(job__sweep=sweep, job__sweep_number=2)
    RunMetric.objects.create(run=run, key="loss", last=None, last_step=3, last_at_us=1)
    answer = page_of(browser, sweep)
    assert len(answer.context["scatters"][0].plot.dots) == 1
    assert next(row.number for row in answer.context["rows"]) == 1


def test_rungs_show_which_runs_were_promoted_and_why_others_were_not(browser, make_spec, team, owner):
    values = {
        "strategy": "halving",
        "vary": {LR: [0.1, 0.2]},
        "count": 2,
        "first_steps": 50,
        "metric": "loss",
    }
    sweep = sweep_actions.submit(spec=make_spec(devices=1), values=values, team=team, owner=owner)
    decision = {"steps": 50, "at": "", "members": [1, 2], "promoted": [2], "values": {"1": 3.5, "2": 2.5}}
    Sweep.objects.filter(id=sweep.id).update(decisions=[decision])
    Job.objects.filter(sweep_number=1).update(state="cancelled", reason="Stopped at step 50: place 2 of 2.")
    text = " ".join(page_of(browser, sweep).text.split())
    assert "1 of 2 promoted" in text and 'title="Stopped at step 50: place 2 of 2."' in text
    assert "continues from its checkpoint as the same run" in text


def test_the_best_runs_open_in_the_compare_page(browser, sweep):
    runs = [recorded(sweep, number, float(number)).id for number in (2, 1)]
    address = f"{reverse('compare')}?run={runs[1]}&amp;run={runs[0]}"
    text = page_of(browser, sweep).text
    assert address in text and "Compare the best 2" in text


def test_a_run_links_to_its_sweep(browser, sweep):
    run = Run.objects.get(job__sweep=sweep, job__sweep_number=2)
    text = browser.get(reverse("run", args=[run.id])).text
    assert f'<a href="{reverse("sweep", args=[sweep.id])}">run #2 of a sweep</a>' in text


def test_a_sweep_is_paused_resumed_and_cancelled_and_events_name_the_user(
    browser, browser_of, team_mate, sweep
):
    act = lambda who, action: who.post(reverse("sweep-action", args=[sweep.id, action]), headers=HTMX)  # noqa: E731
    for who, action in ((browser, "pause"), (browser_of(team_mate), "resume"), (browser, "cancel")):
        assert act(who, action).status_code == 204
    answer = act(browser, "pause")
    assert answer.status_code == 409 and "is cancelled" in json.loads(answer["HX-Trigger"])["notice"]["text"]
    said = list(sweep.events.values_list("actor", "text"))[1:]
    assert said == [("olga", "Paused by olga."), ("tom", "Resumed by tom."), ("olga", "Cancelled by olga.")]


def test_a_part_can_be_refreshed(browser, sweep):
    part = browser.get(reverse("sweep", args=[sweep.id]), headers=HTMX)
    assert 'id="sweep-body"' in part.text and "<html" not in part.text


def test_the_list_shows_state_and_progress(browser, sweep):
    text = browser.get(reverse("sweeps")).text
    assert "0 of 6 ended" in text and sweep.id in text


def test_an_empty_list_explains_sweeps(owner_browser):
    assert "No sweep yet" in owner_browser.get(reverse("sweeps")).text


@pytest.mark.parametrize("who", ["viewer", "stranger"])
@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
def test_a_user_who_may_not_write_gets_404_and_changes_nothing(request, browser_of, sweep, who, action):
    answer = browser_of(request.getfixturevalue(who)).post(reverse("sweep-action", args=[sweep.id, action]))
    assert (answer.status_code, Sweep.objects.get().state) == (404, "running")


def test_a_stranger_sees_neither_page_nor_row(stranger_browser, sweep):
    assert page_of(stranger_browser, sweep).status_code == 404
    assert sweep.id not in stranger_browser.get(reverse("sweeps")).text


def test_a_viewer_sees_no_buttons(viewer_browser, sweep):
    text = page_of(viewer_browser, sweep).text
    assert reverse("sweep-action", args=[sweep.id, "pause"]) not in text


def test_an_unknown_action_is_not_found(browser, sweep):
    assert browser.post(reverse("sweep-action", args=[sweep.id, "explode"])).status_code == 404


def test_more_runs_take_the_same_number_of_queries(
    browser, make_spec, team, owner, django_assert_max_num_queries
):
    for count in (3, 30):
        values = {"vary": {LR: {"from": 0.1, "to": 1, "points": count}}, "parallel": count, "metric": "loss"}
        sweep = sweep_actions.submit(spec=make_spec(devices=1), values=values, team=team, owner=owner)
        advance.advance(sweep.id)
        recorded(sweep, 1, 1.0)
        with django_assert_max_num_queries(12):
            page_of(browser, sweep)
