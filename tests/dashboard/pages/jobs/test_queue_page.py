"""Queue page: order and reasons of waiting jobs, latest end of running jobs, moves and who may make them."""

from __future__ import annotations

import re

import pytest

from jobs.models import Attempt, Job, Membership, Pool, Priority, Run
from jobs.models.people import Role
from jobs.queue import job_actions
from jobs.scheduler import loop

QUEUE = "/queue/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def waiting(make_job) -> list[Job]:
    """Three jobs of olga behind one that uses all devices."""
    jobs = [make_job(devices=2, name=name) for name in ("holder", "first", "second", "third")]
    loop.schedule(jobs[0].pool)
    return [Job.objects.get(id=job.id) for job in jobs[1:]]


@pytest.fixture
def lead(team_mate, team):
    Membership.objects.filter(user=team_mate, team=team).update(role=Role.LEAD)
    return team_mate


def names_in_order(browser, address: str = QUEUE) -> list[str]:
    return re.findall(r'id="row-\w+"[^>]*>([^<]+)</a>', browser.get(address).text)


def move(browser, job: Job, where: str, other: Job | None = None):
    values = {"where": where, "other": other.id if other else ""}
    return browser.post(f"/queue/{job.id}/move/", values, headers=HTMX)


@pytest.mark.django_db
def test_an_empty_queue_is_explained(owner_browser):
    assert "No job is waiting" in owner_browser.get(QUEUE).text


def test_jobs_are_listed_in_the_order_in_which_they_start(owner_browser, waiting, make_job):
    make_job("priority=low", devices=1, name="last")
    loop.schedule(waiting[0].pool)
    assert names_in_order(owner_browser) == ["first", "second", "third", "last"]


def test_each_job_shows_its_waiting_reason_and_latest_start(owner_browser, waiting):
    text = owner_browser.get(QUEUE).text
    assert "Needs 2 devices; 2 of 2 on node a are held by job" in text
    assert "Behind 1 job." in text
    assert "data-ahead" in text


def test_running_jobs_show_their_latest_end(owner_browser, waiting):
    text = owner_browser.get(QUEUE).text
    assert "Running now" in text
    assert "holder" in text
    assert "at the latest" in text


def test_a_job_past_its_time_limit_shows_no_end(owner_browser, waiting):
    Job.objects.filter(name="holder").update(time_limit_s=0)
    assert Attempt.objects.count() == 1
    assert "past its time limit" in owner_browser.get(QUEUE).text


def test_a_job_without_a_latest_start_shows_the_reason(owner_browser, waiting):
    Pool.objects.update(is_open=False)
    loop.schedule(waiting[0].pool)
    text = owner_browser.get(QUEUE).text
    assert "It depends on when the pool is opened." in text
    assert "pool closed" in text


def test_a_job_of_another_team_shows_only_its_position_and_size(stranger_browser, waiting):
    text = stranger_browser.get(QUEUE).text
    assert text.count("Another team&#x27;s job") + text.count("Another team's job") == 4
    for secret in ("second", "olga", "Research", waiting[0].id, waiting[0].run.id, "Behind"):
        assert secret not in text


def test_an_admin_sees_the_details_of_every_job(admin_client, waiting):
    assert names_in_order(admin_client) == ["first", "second", "third"]


def test_filters_narrow_the_queue_and_keep_positions(owner_browser, waiting, make_node, make_job):
    make_node("g", pool="big")
    make_job(devices=2, name="elsewhere", pool="big")
    loop.schedule(Pool.objects.get(name="big"))
    make_job(devices=2, name="behind", pool="big")
    assert names_in_order(owner_browser, f"{QUEUE}?pool=big") == ["behind"]
    assert names_in_order(owner_browser, f"{QUEUE}?mine=1&pool=default") == ["first", "second", "third"]
    assert names_in_order(owner_browser, f"{QUEUE}?team=nobody") == []
    assert "No job matches" in owner_browser.get(f"{QUEUE}?team=nobody").text


def test_only_mine_excludes_jobs_of_team_mates(browser_of, team_mate, waiting):
    assert names_in_order(browser_of(team_mate), f"{QUEUE}?mine=1") == []


def test_an_owner_moves_a_job_and_undoes_it(owner_browser, waiting):
    answer = move(owner_browser, waiting[2], "before", waiting[0])
    assert answer.status_code == 204
    assert names_in_order(owner_browser) == ["third", "first", "second"]
    undo = re.search(r'"undo": (\{.*?\}\})', answer.headers["HX-Trigger"])
    assert undo and f'"path": "/queue/{waiting[2].id}/move/"' in undo[1]
    assert '"where": "back"' in undo[1]
    move(owner_browser, waiting[2], "back")
    assert names_in_order(owner_browser) == ["first", "second", "third"]


def test_a_team_mate_may_not_move_a_job_and_learns_who_may(browser_of, team_mate, waiting):
    answer = move(browser_of(team_mate), waiting[2], "front")
    assert answer.status_code == 409
    assert "a lead of team Research or an admin" in answer.headers["HX-Trigger"]
    assert names_in_order(browser_of(team_mate)) == ["first", "second", "third"]


@pytest.mark.parametrize("kind", ["lead", "admin"])
def test_a_lead_and_an_admin_may_move_a_job(request, browser_of, lead, waiting, kind):
    browser = browser_of(lead) if kind == "lead" else request.getfixturevalue("admin_client")
    assert move(browser, waiting[2], "front").status_code == 204
    assert names_in_order(browser) == ["third", "first", "second"]


@pytest.mark.parametrize("who", ["stranger", "viewer"])
@pytest.mark.parametrize("what", ["move", "priority"])
def test_strangers_and_viewers_get_404_for_a_move(request, browser_of, waiting, who, what):
    browser = browser_of(request.getfixturevalue(who))
    values = {"where": "front", "priority": "low"}
    assert browser.post(f"/queue/{waiting[2].id}/{what}/", values, headers=HTMX).status_code == 404
    assert Job.objects.get(id=waiting[2].id).priority == Priority.NORMAL


def test_a_viewer_sees_no_actions(viewer_browser, waiting):
    assert "data-menu" not in viewer_browser.get(QUEUE).text


@pytest.mark.parametrize("values", [{"where": "nowhere"}, {"where": "before", "other": "nothere"}, {}])
def test_an_unknown_position_is_refused_with_a_message(owner_browser, waiting, values):
    answer = owner_browser.post(f"/queue/{waiting[0].id}/move/", values, headers=HTMX)
    assert answer.status_code == 409
    assert '"tone": "warn"' in answer.headers["HX-Trigger"]


def test_an_owner_lowers_the_priority_but_high_is_for_leads(owner_browser, browser_of, lead, waiting):
    address = f"/queue/{waiting[0].id}/priority/"
    assert owner_browser.post(address, {"priority": "low"}, headers=HTMX).status_code == 204
    refused = owner_browser.post(address, {"priority": "high"}, headers=HTMX)
    assert refused.status_code == 409
    assert "leads of team Research" in refused.headers["HX-Trigger"]
    assert browser_of(lead).post(address, {"priority": "high"}, headers=HTMX).status_code == 204
    assert Job.objects.get(id=waiting[0].id).priority == Priority.HIGH
    assert owner_browser.post(address, {"priority": "urgent"}, headers=HTMX).status_code == 409


def test_without_scripts_the_message_appears_on_the_queue_page(owner_browser, waiting):
    answer = owner_browser.post(f"/queue/{waiting[2].id}/move/", {"where": "front"}, follow=True)
    assert "third has a new position." in answer.text


def test_a_job_that_left_the_queue_cannot_be_moved(owner_browser, waiting):
    job_actions.cancel(waiting[2], actor="olga")
    answer = move(owner_browser, waiting[2], "front")
    assert answer.status_code == 409
    assert "is no longer waiting" in answer.headers["HX-Trigger"]


def test_a_page_has_a_hundred_rows_and_a_next_page(owner_browser, waiting, team, owner):
    pool = waiting[0].pool
    Job.objects.bulk_create(
        Job(
            id=f"x{n:011}",
            team=team,
            owner=owner,
            pool=pool,
            name=f"many {n}",
            spec={},
            num_devices=1,
            num_steps=1,
        )
        for n in range(120)
    )
    Run.objects.bulk_create(
        Run(job=job, team=team, owner=owner, name=job.name) for job in Job.objects.filter(run=None)
    )
    assert len(names_in_order(owner_browser)) == 100
    assert len(names_in_order(owner_browser, f"{QUEUE}?page=2")) == 23
