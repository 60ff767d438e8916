"""Search over everything: what it finds, for whom, and what it costs."""

from __future__ import annotations

import random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dashboard.access import Scope
from dashboard.pages.home import search
from engine.spec.spec import Spec
from jobs.models import Run, RunMetric, Team
from jobs.people import sharing
from jobs.queue import templates
from jobs.tracking import deletion, external_runs, projects

pytestmark = pytest.mark.django_db
QUERIES_LIMIT = 14


def found(user, text: str, team: Team | None = None) -> dict[str, list[str]]:
    return {
        group.title: [hit.title for hit in group.hits] for group in search.search(Scope(user, team), text)
    }


@pytest.fixture
def content(team, owner, make_job, give_metrics):
    job = make_job(name="zebra training")
    run = external_runs.create(
        team=team, owner=owner, name="zebra logged", origin="test", external_id="zeb.7"
    )
    give_metrics(run, **{"zebra/loss": 1.0})
    projects.create(team, "zebra project", actor="olga")
    sharing.create_report(team=team, owner=owner, title="About zebras", text="Text.")
    return job, run


def test_every_kind_is_found_by_name(owner, content, node):
    groups = found(owner, "zebra")
    assert groups["Jobs"] == ["zebra training"] and "zebra logged" in groups["Runs"]
    assert groups["Projects"] == ["zebra project"] and groups["Reports"] == ["About zebras"]
    assert groups["Metrics"] == ["zebra/loss"]
    assert found(owner, "accou")["Pages"] == ["Accounting"]
    assert found(owner, node.name)["Nodes"] == [node.name]


def test_ids_are_found_by_their_start_and_every_word_counts(owner, content):
    job, run = content
    assert found(owner, job.id[:5])["Jobs"] == ["zebra training"]
    assert found(owner, run.id)["Runs"] == ["zebra logged"]
    assert found(owner, "zeb.7")["Runs"] == ["zebra logged"]
    assert found(owner, "zebra LOGGED")["Runs"] == ["zebra logged"]
    assert "Runs" not in found(owner, "zebra nothing")
    assert found(owner, "   ") == {}


def test_nothing_of_another_team_and_nothing_in_the_bin_is_found(owner, stranger, content, other_team):
    _, run = content
    assert set(found(stranger, "zebra")) == set()
    assert set(found(owner, "zebra", other_team)) == set()
    external_runs.set_state(run, "succeeded", actor="olga")
    deletion.delete_runs(Run.objects.filter(id=run.id), actor="olga")
    assert "zebra logged" not in found(owner, "zebra").get("Runs", [])


def test_a_viewer_is_not_led_to_what_is_refused(viewer, owner):
    assert "New job" in found(owner, "new job")["Pages"]
    assert found(viewer, "new job") == {}
    assert found(viewer, "people") == {}


@pytest.mark.parametrize(
    "text", ["%", "_", "'", '"', "\\", "<b>", "a" * 5000, "é" * 90, "- OR 1=1", "\u202e"]
)
def test_any_text_is_a_text(owner_browser, content, text):
    answer = owner_browser.get("/search/", {"q": text, "part": "1"})
    assert answer.status_code == 200 and "<b>" not in answer.text.replace("<b>Esc", "")
    assert owner_browser.get("/search/", {"q": f"{text}\0"}).status_code == 400


@pytest.mark.parametrize("seed", range(6))
def test_runs_are_found_as_a_plain_reading_of_their_names_does(owner, team, seed):
    drawn = random.Random(seed)
    words = ["res", "net", "lr", "1e-3", "Bert", "long name"]
    names = [" ".join(drawn.choices(words, k=drawn.randint(1, 3))) for _ in range(drawn.randint(5, 40))]
    for name in names:
        external_runs.create(team=team, owner=owner, name=name, origin="test")
    wanted = drawn.choices(["RES", "bert", "1e-3", "net"], k=2)
    expected = [name for name in names if all(word.lower() in name.lower() for word in wanted)]
    shown = found(owner, " ".join(wanted)).get("Runs", [])
    assert len(shown) == min(len(expected), search.SHOWN) and set(shown) <= set(expected)


def test_the_cost_is_bounded(owner, content, monkeypatch):
    monkeypatch.setattr(search, "METRICS_READ", 50)
    _, run = content
    RunMetric.objects.bulk_create(RunMetric(run=run, key=f"many/{n:04}", last_at_us=1) for n in range(500))
    with CaptureQueriesContext(connection) as queries:
        groups = search.search(Scope(owner), "e")
    assert len(queries) <= QUERIES_LIMIT
    assert all(len(group.hits) <= search.SHOWN for group in groups)


@pytest.mark.parametrize("role", ["owner", "viewer"])
def test_every_hit_opens(role, request, browser_of, content, team, owner, node):
    templates.save(team=team, name="zebra base", description="", spec=Spec(name="base"), actor="olga")
    sharing.save_view(team=team, owner=owner, page="runs", name="zebra view", query="filter=a")
    person = request.getfixturevalue(role)
    groups = [*search.search(Scope(person), "zebra"), *search.search(Scope(person), "a")]
    assert {group.title for group in groups} >= {
        "Runs",
        "Jobs",
        "Projects",
        "Metrics",
        "Reports",
        "Saved views",
    }
    assert ("Templates" in {group.title for group in groups}) == (role == "owner")
    for group in groups:
        for address in [*(hit.address for hit in group.hits), *filter(None, [group.more])]:
            assert browser_of(person).get(address, follow=True).status_code == 200, address


def test_it_works_as_a_page_without_a_script(owner_browser, content):
    text = owner_browser.get("/search/", {"q": "zebra"}).text
    assert "<h1>Search</h1>" in text and "zebra logged" in text
