"""Compare page: selection of runs, charts of their metrics and differences."""

from __future__ import annotations

import random

import pytest

from dashboard.charts import chart_sections
from jobs import series
from jobs.models import Run
from jobs.series import Point
from jobs.tracking import external_runs, params, run_annotations

COMPARE = "/compare/"


@pytest.fixture
def make_run(owner, team):
    def make(name: str = "run", *metrics: str, tags: dict[str, str] | None = None, **chosen: str) -> Run:
        run = external_runs.create(team=team, owner=owner, name=name, origin="test", tags=tags)
        params.store(run, chosen)
        series.append(run.id, 0, "t", 0, [Point(metric, "run", 1, 1.0, 2.0) for metric in metrics])
        return run

    return make


def panels_of(answer) -> dict[str, list[str]]:
    return {title: [panel.key for panel in row] for title, row in answer.context["sections"]}


def names_of(answer) -> list[str]:
    return [run.name for run, _ in answer.context["runs"]]


def test_without_a_choice_the_page_explains_how_to_choose(owner_browser, make_job):
    make_job(name="candidate")
    text = owner_browser.get(COMPARE).text
    assert "Select runs to compare" in text
    assert "candidate" in text


def test_the_address_chooses_runs_and_metrics_in_order(owner_browser, make_run):
    first, second = make_run("one", "loss"), make_run("two", "loss")
    answer = owner_browser.get(COMPARE, {"run": [second.id, first.id], "metric": ["step_s", "my/own"]})
    assert names_of(answer) == ["two", "one"]
    assert panels_of(answer) == {"Chosen": ["step_s", "my/own"]}


def test_every_recorded_metric_is_drawn_under_its_topic(owner_browser, make_run):
    runs = [
        make_run("a", "loss", "train/f1", "tokens_per_s"),
        make_run("b", "val_accuracy", "oddity", "eval/f1"),
    ]
    for run in runs:
        external_runs.set_state(run, "succeeded", actor="test")
    answer = owner_browser.get(COMPARE, {"run": [run.id for run in runs]})
    assert panels_of(answer) == {
        "Learning": ["loss", "val_accuracy"],
        "Speed": ["tokens_per_s"],
        "eval": ["eval/f1"],
        "Other": ["oddity"],
        "train": ["train/f1"],
    }


def test_charts_of_devices_are_hidden_while_a_run_is_live(owner_browser, make_run):
    run = make_run("a", "loss")
    sections = dict(owner_browser.get(COMPARE, {"run": run.id}).context["sections"])
    assert [panel.is_optional for panel in sections["Learning"]] == [False]
    assert all(panel.is_optional for panel in sections["Power"])
    external_runs.set_state(run, "failed", actor="test")
    assert "Power" not in dict(owner_browser.get(COMPARE, {"run": run.id}).context["sections"])


def test_metrics_beyond_the_limit_are_counted(owner_browser, make_run):
    run = make_run("a", *[f"m{number}" for number in range(chart_sections.MAX_PANELS + 7)])
    external_runs.set_state(run, "succeeded", actor="test")
    answer = owner_browser.get(COMPARE, {"run": run.id})
    assert sum(len(row) for _, row in answer.context["sections"]) == chart_sections.MAX_PANELS
    assert "300 of 307" in answer.text


@pytest.mark.parametrize(
    ("name", "section"),
    [("trainLoss", "Learning"), ("gpu.memory", "Memory"), ("samples_per_second", "Speed"), ("a/b/c", "a"),
     ("/x", "Other"), ("glossary", "Other")],
)  # fmt: skip
def test_a_topic_is_found_by_whole_words(name, section):
    assert chart_sections.get_section(name) == section


def test_values_that_differ_are_apart_from_equal_ones(owner_browser, make_run):
    runs = [make_run("a", lr="1e-3", width="64"), make_run("b", lr="3e-4", width="64", tags={"base": "yes"})]
    found = owner_browser.get(COMPARE, {"run": [run.id for run in runs]}).context["differences"]
    assert found.differ == [("lr", ["1e-3", "3e-4"]), ("tag:base", [None, "yes"])]
    assert found.same == [("width", "64")]
    assert found.facets["lr"] == {runs[0].id: "1e-3", runs[1].id: "3e-4"}


def test_specs_of_jobs_are_parameters_too(owner_browser, make_job):
    runs = [make_job("seed=1").run.id, make_job("seed=2", "model.layers=3").run.id]
    found = owner_browser.get(COMPARE, {"run": runs}).context["differences"]
    assert dict(found.differ) == {"seed": ["1", "2"], "model.layers": ["4", "3"]}
    assert "model.width" in dict(found.same)


@pytest.mark.parametrize("num_runs", [2, 9])
def test_the_table_of_differences_names_every_run_and_value(owner_browser, make_run, num_runs):
    runs = [make_run(f"r{number}", seed=str(900 + number)) for number in range(num_runs)]
    text = owner_browser.get(COMPARE, {"run": [run.id for run in runs]}).text
    for number in range(num_runs):
        assert f"<span>r{number}</span></span></a>" in text
        assert f'title="{900 + number}"' in text


def test_runs_of_one_name_have_different_labels_and_colours(owner_browser, make_run):
    runs = [make_run("same"), make_run("same")]
    names = owner_browser.get(COMPARE, {"run": [run.id for run in runs]}).context["names"]["runs"]
    assert len({said["name"] for said in names.values()}) == 2
    assert [label["colour"] for label in names.values()] == ["var(--run-1)", "var(--run-2)"]


@pytest.mark.parametrize("seed", range(10))
def test_a_run_keeps_its_colour_while_others_are_taken_out_and_added(owner_browser, make_run, seed):
    rng = random.Random(seed)
    every = [make_run().id for _ in range(10)]
    places = every[:6]
    colours: dict[str, str] = {}
    for _ in range(12):  # as js/compare/page.js writes the address
        shown = [run for run in places if run]
        if len(shown) > 1 and rng.random() < 0.5:
            gone = rng.choice(shown)
            places[places.index(gone)] = ""
            colours.pop(gone, None)
        elif added := [run for run in every if run not in places]:
            free = places.index("") if "" in places else len(places)
            places[free : free + 1] = [rng.choice(added)]
        labels = owner_browser.get(COMPARE, {"run": places}).context["names"]["runs"]
        assert len({label["colour"] for label in labels.values()}) == len(labels)
        now = {run: label["colour"] for run, label in labels.items()}
        assert colours.items() <= now.items()
        colours = now


def test_a_new_run_changes_no_colour_of_a_filter(owner_browser, make_run):
    runs = [make_run(lr="1").id for _ in range(3)]
    query = {"filter": "lr = 1"}
    before = owner_browser.get(COMPARE, query).context["names"]["runs"]
    new = make_run(lr="1").id
    after = owner_browser.get(COMPARE, query).context["names"]["runs"]
    assert {run: label["colour"] for run, label in before.items()} == {
        run: after[run]["colour"] for run in runs
    }
    assert after[new]["colour"] not in {label["colour"] for label in before.values()}


def test_two_hundred_runs_are_overlaid_and_more_are_counted(owner_browser, make_run):
    runs = [make_run().id for _ in range(201)]
    answer = owner_browser.get(COMPARE, {"run": runs})
    assert len(answer.context["runs"]) == 200
    assert "1 left out" in answer.text


def test_a_filter_selects_runs(owner_browser, make_run):
    make_run("good", lr="1"), make_run("bad", lr="2")
    assert names_of(owner_browser.get(COMPARE, {"filter": "lr < 2"})) == ["good"]


def test_an_invalid_filter_is_refused_at_its_field_and_kept(owner_browser, make_run):
    make_run("a", "loss")
    answer = owner_browser.get(COMPARE, {"filter": "loss <"})
    assert answer.status_code == 200 and names_of(answer) == []
    assert 'value="loss &lt;"' in answer.text
    assert 'id="filter-problem"' in answer.text


def test_a_filter_without_matches_has_its_own_page(owner_browser, make_run):
    make_run("a", lr="1")
    assert "No run matches this filter" in owner_browser.get(COMPARE, {"filter": "lr > 5"}).text


def test_a_strangers_run_is_left_out(stranger_browser, make_run):
    run = make_run("secret", "loss", lr="1")
    for query in ({"run": run.id}, {"filter": "secret"}):
        answer = stranger_browser.get(COMPARE, query)
        assert f"/runs/{run.id}/" not in answer.text
        assert names_of(answer) == []


def test_an_archived_run_is_not_offered(owner_browser, make_run):
    run = make_run("old")
    run_annotations.archive(Run.objects.filter(id=run.id), actor="test")
    assert "old" not in [other.name for other in owner_browser.get(COMPARE).context["others"]]
