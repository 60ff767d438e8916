"""Settings page of a pool: admins change limits, prices and quotas, others see what applies to them."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User

from jobs.models import Job, Pool, PoolEvent, Share, Team
from jobs.pools import pool_settings, quotas
from tests.dashboard.test_query_counts import queries

SETTINGS = "/pools/default/settings/"


@pytest.fixture
def admin_browser(team, node, browser_of):
    return browser_of(User.objects.create_user("ann", is_staff=True))


@pytest.fixture
def save(admin_browser, pool):
    """save(max_gang='4'): what a browser posts for the pool's form with some fields changed."""

    def save(**changes: str | list[str]):
        texts: dict = pool_settings.setting_texts(Pool.objects.get(name="default"))
        texts = {
            name: text
            for name, text in texts.items()
            if pool_settings.BY_NAME[name].kind == "text" or text == "true"
        }
        return admin_browser.post(SETTINGS, texts | {"seen": _newest(None)} | changes)

    return save


@pytest.fixture
def save_quota(admin_browser, team, pool):
    def save_quota(browser=admin_browser, whose=team, seen=None, **changes: str):
        texts = (
            quotas.setting_texts(quotas.get_share(whose, pool))
            | {"seen": _newest(whose) if seen is None else seen}
            | changes
        )
        return browser.post(f"{SETTINGS}quotas/{whose.slug}/", texts, headers={"HX-Request": "true"})

    return save_quota


def _newest(team: Team | None) -> int:
    return PoolEvent.objects.filter(team=team).order_by("-id").values_list("id", flat=True).first() or 0


def test_an_admin_changes_limits_and_prices_and_the_event_names_the_admin(save, admin_browser, other_team):
    answer = save(
        max_gang="2",
        max_time_limit_s="12 h",
        allowed_teams=["research", "others"],
        price_per_device_hour="2.5",
    )
    assert answer.status_code == 302
    pool = Pool.objects.get()
    assert (pool.max_gang, pool.max_time_limit_s, pool.price_per_device_hour) == (2, 43200, 2.5)
    assert {team.slug for team in pool.allowed_teams.all()} == {"research", "others"}
    text = admin_browser.get(SETTINGS).text
    assert "Largest job: no limit → 2 devices" in text and "Teams: every team → others research" in text
    assert PoolEvent.objects.get().actor == "ann"


def test_an_unticked_box_is_off_and_saving_twice_changes_nothing(save):
    assert save(is_open="true").status_code == 302
    save()
    texts = {name: text for name, text in pool_settings.setting_texts(Pool.objects.get()).items()}
    assert texts["is_open"] == "true" and not PoolEvent.objects.exists()


def test_a_pool_is_closed_by_unticking_it(admin_browser, pool, node):
    texts = {
        name: text
        for name, text in pool_settings.setting_texts(pool).items()
        if pool_settings.BY_NAME[name].kind == "text"
    }
    admin_browser.post(SETTINGS, texts | {"seen": "0"})
    assert not Pool.objects.get().is_open
    assert PoolEvent.objects.get().text == "Open: true → false"


def test_a_refused_setting_is_shown_at_its_field_with_the_typed_text(save):
    answer = save(max_gang="lots", labels="gpu=h200", default_time_limit_s="soon")
    assert answer.status_code == 422 and not PoolEvent.objects.exists()
    for said in (
        "&#x27;lots&#x27; is not a whole number.",
        "is not a duration",
        'value="lots"',
        'value="gpu=h200"',
        'value="soon"',
    ):
        assert said in answer.text


def test_an_outdated_form_is_refused_with_the_typed_texts(save, admin_browser, pool):
    pool_settings.change(pool, "bea", {"max_gang": "8"})
    answer = save(seen="0", max_gang="3")
    assert answer.status_code == 409
    assert "bea changed these settings" in answer.text and 'value="3"' in answer.text
    assert Pool.objects.get().max_gang == 8
    assert save(max_gang="3").status_code == 302


def test_a_quota_is_changed_in_its_row_and_the_history_is_refreshed(save_quota, team, pool):
    answer = save_quota(
        weight="2", guaranteed="1", borrowable="1", monthly_budget_device_s="10", monthly_budget_j="1.5"
    )
    assert "pool-changed" in answer["HX-Trigger"] and "Saved." in answer["HX-Trigger"]
    share = Share.objects.get(team=team, pool=pool)
    assert (share.weight, share.guaranteed, share.borrowable) == (2.0, 1, 1)
    assert (share.monthly_budget_device_s, share.monthly_budget_j, share.monthly_budget_money) == (
        36_000,
        5.4e6,
        None,
    )
    assert PoolEvent.objects.get().text.splitlines()[0] == "Weight: 1 → 2"
    assert "Nothing was changed." in save_quota()["HX-Trigger"]


def test_guarantees_beyond_the_devices_of_a_pool_are_refused_with_the_rest(save_quota, other_team, pool):
    Share.objects.create(team=other_team, pool=pool, guaranteed=1)
    answer = save_quota(guaranteed="2")
    assert "2 plus the 1 guaranteed to other teams exceed the 2 devices" in answer.text
    assert "Guarantee at most 1" in answer.text and 'value="2"' in answer.text
    assert not Share.objects.filter(guaranteed=2).exists()


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("weight", "0", "at least 0.01"),
        ("weight", "", "It cannot be empty."),
        ("guaranteed", "-1", "at least 0"),
        ("borrowable", "many", "is not a whole number"),
        ("monthly_budget_money", "1e99", "at most 1000000000"),
    ],
)
def test_an_invalid_quota_is_refused_in_its_row(save_quota, field, text, said):
    answer = save_quota(**{field: text})
    assert said in answer.text and f'name="{field}" value="{text}"' in answer.text
    assert not Share.objects.exists()


def test_two_admins_cannot_overwrite_each_other(save_quota, team, pool):
    quotas.change(team, pool, "bea", {"weight": "3"})
    assert "bea changed these settings" in save_quota(seen="0", weight="9").text
    assert Share.objects.get().weight == 3


def test_the_use_of_a_budget_is_shown_beside_it(admin_browser, team, pool, node):
    from django.utils import timezone

    month = timezone.now().strftime("%Y-%m")
    Share.objects.create(
        team=team, pool=pool, monthly_budget_device_s=36_000, month=month, month_device_s=9000
    )
    assert "2.5 used" in admin_browser.get(SETTINGS).text
    Share.objects.update(month="2001-01")
    assert "0 used" in admin_browser.get(SETTINGS).text


def test_a_member_sees_the_quotas_of_their_team_only(
    owner_browser, stranger_browser, team, other_team, pool, node
):
    quotas.change(team, pool, "ann", {"borrowable": "7"})
    quotas.change(other_team, pool, "ann", {"borrowable": "9"})
    pool_settings.change(pool, "ann", {"max_gang": "2"})
    mine, theirs = owner_browser.get(SETTINGS).text, stranger_browser.get(SETTINGS).text
    assert "Borrowable: any number → 7 devices" in mine and "9 devices" not in mine and "Others" not in mine
    assert "9 devices" in theirs and "7 devices" not in theirs and "Research" not in theirs
    assert "Largest job: no limit → 2 devices" in mine
    assert "<input" not in re.sub(
        r"<nav.*?</nav>", "", mine.split('class="pool-settings"')[1].split("<dialog")[0]
    )


@pytest.mark.parametrize("browser", ["owner_browser", "viewer_browser", "stranger_browser"])
def test_only_an_admin_can_write(request, browser, node, team):
    asks = request.getfixturevalue(browser)
    assert asks.post(SETTINGS, {"max_gang": "1", "currency": "EUR"}).status_code == 404
    assert asks.post(f"{SETTINGS}quotas/{team.slug}/", {"weight": "9"}).status_code == 404
    assert not PoolEvent.objects.exists() and not Share.objects.exists()


def test_an_unknown_pool_or_team_is_not_found(admin_browser):
    assert admin_browser.get("/pools/nowhere/settings/").status_code == 404
    assert admin_browser.get("/pools/nowhere/settings/changes/").status_code == 404
    assert admin_browser.post(f"{SETTINGS}quotas/nobody/", {}).status_code == 404


def test_many_teams_are_paged_and_take_the_same_number_of_queries(admin_browser, pool, node):
    def add(numbers: range) -> None:
        for number in numbers:
            team = Team.objects.create(name=f"Team {number:02}", slug=f"t{number:02}")
            quotas.change(team, pool, "ann", {"borrowable": "1"})

    add(range(55))
    few = queries(admin_browser, SETTINGS)
    add(range(55, 60))
    text = admin_browser.get(SETTINGS).text
    assert text.count('id="quota-') == 50 and "of 61" in text
    assert admin_browser.get(f"{SETTINGS}?q=team+59").text.count('id="quota-') == 1
    assert queries(admin_browser, SETTINGS) == few
    assert not Job.objects.exists()
