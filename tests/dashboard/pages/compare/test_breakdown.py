"""Time breakdown on the compare page."""

from __future__ import annotations

import pytest

from dashboard.pages.compare import breakdown
from engine.verdict import explain
from jobs import verdicts
from jobs.models import Run
from jobs.tracking import external_runs
from tests.jobs.verdicts.conftest import trained  # noqa: F401  (fixture)

SLOW_LINK = ({"communication_s": 0.05}, {})


@pytest.fixture
def two(trained) -> list[Run]:  # noqa: F811
    runs = [trained(*SLOW_LINK).run, trained({}, {}).run]
    for run in runs:
        verdicts.judge_run(run)
    return runs


def test_a_sentence_names_the_parts_that_make_the_difference(two):
    why = breakdown.build_breakdown(two)
    assert [line.message for line in why.lines] == [
        "",
        "is 32 % faster: 32 points less exposed communication.",
    ]
    assert [line.message for line in breakdown.build_breakdown(two[::-1]).lines][1].startswith(
        "is 46 % slower: 46 points more"
    )


def test_bars_are_as_long_as_the_time_of_a_token(two):
    slow, quick = breakdown.build_breakdown(two).lines
    assert sum(part.width for part in slow.parts) == pytest.approx(100, abs=0.5)
    assert sum(part.width for part in quick.parts) == pytest.approx(100 * 0.104 / 0.152, abs=1)
    assert {part.name for part in slow.parts} == {"compute", "communication", "host"}
    assert {part.colour for part in slow.parts} == {"var(--series-1)", "var(--series-2)", "var(--series-8)"}


def test_the_page_loads_it_when_it_scrolls_into_view(owner_browser, two, stranger_browser):
    query = "&".join(f"run={run.id}" for run in two)
    assert "/compare/why/" in owner_browser.get(f"/compare/?{query}").content.decode()
    text = owner_browser.get(f"/compare/why/?{query}").content.decode()
    assert "Is 32 % faster" in text and "per token" in text
    assert '--spent: var(--series-2)"></i>exposed communication</li>' in text  # the legend
    assert two[0].name not in stranger_browser.get(f"/compare/why/?{query}").content.decode()


def test_runs_that_were_never_judged_have_the_reason(owner_browser, make_job, team, owner):
    logged = external_runs.create(team=team, owner=owner, name="logged", origin="mlflow")
    verdicts.judge_run(logged)
    runs = [logged, make_job().run]
    why = breakdown.build_breakdown(runs)
    assert (
        not why.is_known
        and "reports neither steps nor their phases" in why.lines[0].message
        and "Not judged yet" in why.lines[1].message
    )
    query = "&".join(f"run={run.id}" for run in runs)
    assert "None of these runs" in owner_browser.get(f"/compare/why/?{query}").content.decode()


def test_one_run_alone_is_not_explained(owner_browser, two):
    assert "/compare/why/" not in owner_browser.get(f"/compare/?run={two[0].id}").content.decode()


@pytest.mark.parametrize(
    ("compute", "communication", "said"),
    [
        (1.0, 0.5, "takes the same time a token, for the same reasons."),
        (1.07, 0.05, "is 25 % faster: 30 points less exposed communication, 5 points more compute."),
        (0.5, 1.0, "takes the same time a token, made up differently: 33 points less compute, "
                   "33 points more exposed communication."),
        (1.0, 0.6, "is 7 % slower: 7 points more exposed communication."),
    ],
)  # fmt: skip
def test_points_are_of_the_first_runs_time(compute, communication, said):
    first = explain.TokenTime({"compute": 1.0, "communication": 0.5}, 1.5)
    other = explain.TokenTime({"compute": compute, "communication": communication}, compute + communication)
    assert explain.explain_difference(first, other) == said
