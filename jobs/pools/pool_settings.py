"""Settings of a pool: table, changes, and checks of specs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db import transaction

from engine.spec.parts import DEFAULT_TIME_LIMIT_S
from engine.spec.spec import Problem, Spec
from jobs.models import Pool, PoolEvent, Team
from jobs.pools.setting_types import (
    Setting,
    SettingsError,
    duration_parser,
    format_duration,
    format_labels,
    format_number,
    integer_parser,
    number_parser,
    parse_all,
    parse_currency,
    parse_labels,
    parse_switch,
    required_parser,
)

MAX_TIME_LIMIT_S = 60 * 60 * 24 * 60  # as in engine.spec.parts.Budget

SETTINGS: tuple[Setting, ...] = (
    Setting("is_open", "Open", "A closed pool accepts no new jobs and starts none",
            parse_switch, lambda value: str(value).lower(), kind="switch"),
    Setting("allows_several_nodes", "Multi-node jobs", "A job that is too large for one node may run on several",
            parse_switch, lambda value: str(value).lower(), kind="switch"),
    Setting("labels", "Labels", "key=value pairs that a spec may require: gpu=h200, site=north",
            parse_labels, format_labels, empty_label="none"),
    Setting("allowed_teams", "Teams", "Teams that may submit here; none selected: every team",
            lambda text: sorted(set(text.split())), " ".join, empty_label="every team", kind="teams"),
    Setting("default_time_limit_s", "Default time limit", "For specs that set none: 90 s, 15 min, 2 h, 3 d",
            duration_parser(10, MAX_TIME_LIMIT_S), format_duration, empty_label="1 h"),
    Setting("max_time_limit_s", "Longest time limit", "Per attempt; a spec that asks for more is refused",
            duration_parser(10, MAX_TIME_LIMIT_S), format_duration),
    Setting("max_gang", "Largest job", "Devices that one job may hold at once",
            integer_parser(1, 65536), lambda value: format_number(value), "devices"),
    Setting("price_per_device_hour", "Price per device-hour", "Booked when an attempt ends",
            number_parser(0, 1e6), format_number, empty_label="no price"),
    Setting("tariff_per_kwh", "Tariff per kWh", "For measured energy, in addition to the device-hours",
            number_parser(0, 1e6), format_number, empty_label="no tariff"),
    Setting("currency", "Currency", "ISO code of both prices; booked charges keep theirs",
            parse_currency, str),
    Setting("carbon_g_per_kwh", "Carbon per kWh", "Grams of CO2e emitted per kWh; always shown as an estimate",
            number_parser(0, 5000), format_number, empty_label="not set"),
    Setting("pue", "PUE", "Energy of the site divided by that of its computers; empty: computers only",
            number_parser(1, 10), format_number, empty_label="1 (computers only)"),
    Setting("idle_after_s", "Idle after", "Time without a step while all devices are unused; empty: no limit",
            duration_parser(60, MAX_TIME_LIMIT_S), format_duration, empty_label="never"),
    Setting("idle_below_pct", "Unused below", "Mean utilisation of a device, in percent",
            required_parser(number_parser(0.1, 100)), format_number, "%"),
    Setting("idle_warn_s", "Warning period", "Time from the warning to the stop at a checkpoint",
            required_parser(duration_parser(60, MAX_TIME_LIMIT_S)), format_duration),
    Setting("idle_extension_s", "Extension", "Time that a person may add to the warning period, once",
            required_parser(duration_parser(60, MAX_TIME_LIMIT_S)), format_duration),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}


class StaleSettings(Exception):
    """Someone else changed the settings after the page was read; the message names them."""


def setting_texts(pool: Pool) -> dict[str, str]:
    """Setting name -> text as its form field shows it."""
    return {setting.name: setting.format(_value(pool, setting.name)) for setting in SETTINGS}


def change(
    pool: Pool, actor: str, texts: Mapping[str, str], seen_event_id: int | None = None
) -> PoolEvent | None:
    """Write the settings in `texts` and one event that describes the change; return None if nothing changed.

    `seen_event_id` is the newest event the person has read. Raises SettingsError with every problem, and
    StaleSettings.
    """
    values = parse_all(SETTINGS, texts)
    with transaction.atomic():
        current = Pool.objects.select_for_update(no_key=True).get(id=pool.id)
        refuse_stale(current, seen_event_id)
        before = {name: _value(current, name) for name in values}
        changed = {name: value for name, value in values.items() if value != before[name]}
        _refuse_conflicts(current, changed)
        teams = changed.pop("allowed_teams", None)
        if changed:
            Pool.objects.filter(id=pool.id).update(**changed)
        if teams is not None:
            current.allowed_teams.set(Team.objects.filter(slug__in=teams))
            changed["allowed_teams"] = teams
        if not changed:
            return None
        text = describe_changes([(BY_NAME[name], before[name], value) for name, value in changed.items()])
        return PoolEvent.objects.create(pool=current, actor=actor, text=text)


def refuse_stale(pool: Pool, seen_event_id: int | None, team: Team | None = None) -> None:
    """Raise StaleSettings if a newer event exists for the pool, or for one team's share.

    Call it with the pool's row locked.
    """
    newest = PoolEvent.objects.filter(pool=pool, team=team).order_by("-id").first()
    if seen_event_id is not None and newest is not None and newest.id > seen_event_id:
        raise StaleSettings(
            f"{newest.actor} changed these settings at {newest.at:%H:%M} UTC. Your input is still here but not saved: "
            "check the history, then save again."
        )


def describe_changes(changes: Iterable[tuple[Setting, Any, Any]]) -> str:
    """One line per changed setting: 'Largest gang: no limit → 8 devices'."""
    return "\n".join(f"{s.title}: {s.describe(before)} → {s.describe(after)}" for s, before, after in changes)


def time_limit_s(pool: Pool) -> int:
    """The time limit of a spec that sets none."""
    if pool.default_time_limit_s is not None:
        return pool.default_time_limit_s
    return min(DEFAULT_TIME_LIMIT_S, pool.max_time_limit_s or DEFAULT_TIME_LIMIT_S)


def with_pool_defaults(spec: Spec, pool: Pool) -> Spec:
    """The spec with the pool's defaults for fields it does not set."""
    if spec.budget.time_limit_s is not None:
        return spec
    return spec.model_copy(
        update={"budget": spec.budget.model_copy(update={"time_limit_s": time_limit_s(pool)})}
    )


def problems(spec: Spec, pool: Pool, team: Team | None) -> Iterator[Problem]:
    """Problems of a spec with the pool's settings; without a team, only those that hold for every team."""
    if team is not None:
        yield from _team_problems(pool, team)
    yield from _label_problems(spec, pool, team)
    max_s, asked_s = pool.max_time_limit_s, spec.budget.time_limit_s
    if max_s is not None and asked_s is not None and asked_s > max_s:
        yield Problem(
            "budget.time_limit_s",
            f"{asked_s} s exceed the limit of pool '{pool.name}', {max_s} s "
            f"({format_duration(max_s)}). Lower it and resume from a checkpoint, or choose another pool.",
            {"budget.time_limit_s": max_s},
        )
    need, stages = spec.parallel.world_size, spec.parallel.stages
    if pool.max_gang is not None and need > pool.max_gang:
        fits = stages <= pool.max_gang
        yield Problem(
            "parallel.data" if fits else "parallel.stages",
            f"{spec.parallel.data} x {stages} = {need} ranks need {need} devices; pool '{pool.name}' allows at most "
            f"{pool.max_gang} per job.",
            {"parallel.data": pool.max_gang // stages} if fits else
            {"parallel.data": 1, "parallel.stages": min(pool.max_gang, spec.model.layers)},
        )  # fmt: skip


def is_allowed(pool: Pool, team: Team) -> bool:
    allowed = {one.id for one in pool.allowed_teams.all()}
    return not allowed or team.id in allowed


def pools_open_to(team: Team | None) -> Iterator[Pool]:
    """Open pools that accept jobs of the team, by name. Runs two queries."""
    for pool in Pool.objects.filter(is_open=True).order_by("name").prefetch_related("allowed_teams"):
        if team is None or is_allowed(pool, team):
            yield pool


def _team_problems(pool: Pool, team: Team) -> Iterator[Problem]:
    if is_allowed(pool, team):
        return
    others = [one.name for one in pools_open_to(team)]
    hint = (
        f"Open pools: {', '.join(others[:5])}." if others else "No pool is open to this team: ask an admin."
    )
    message = f"Pool '{pool.name}' does not accept jobs of team {team.name}. {hint}"
    yield Problem("pool", message, {"pool": others[0]} if others else {})


def _label_problems(spec: Spec, pool: Pool, team: Team | None) -> Iterator[Problem]:
    try:
        wanted = parse_labels(spec.requires)
    except ValueError as error:
        yield Problem("requires", str(error))
        return
    if missing := _missing(wanted, pool):
        fitting = next((one.name for one in pools_open_to(team) if not _missing(wanted, one)), None)
        has = format_labels(pool.labels) or "none"
        yield Problem(
            "requires",
            f"Pool '{pool.name}' does not have {format_labels(missing)} (its labels: {has}). "
            + (
                f"Pool '{fitting}' has all required labels."
                if fitting
                else "No pool has all required labels."
            ),
            {"pool": fitting} if fitting else {"requires": ""},
        )


def _missing(wanted: Mapping[str, str], pool: Pool) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if pool.labels.get(key) != value}


def _value(pool: Pool, name: str) -> Any:
    if name == "allowed_teams":
        return sorted(team.slug for team in pool.allowed_teams.all())
    return getattr(pool, name)


def _refuse_conflicts(pool: Pool, changed: Mapping[str, Any]) -> None:
    """Raise SettingsError if values conflict with each other once the change is written."""
    problems = []
    default_s = changed.get("default_time_limit_s", pool.default_time_limit_s)
    max_s = changed.get("max_time_limit_s", pool.max_time_limit_s)
    if default_s is not None and max_s is not None and default_s > max_s:
        default, longest = format_duration(default_s), format_duration(max_s)
        text = f"{default} exceeds the longest time limit, {longest}. Lower the default or raise the limit."
        problems.append(Problem("default_time_limit_s", text))
    if slugs := changed.get("allowed_teams"):
        known = set(Team.objects.filter(slug__in=slugs).values_list("slug", flat=True))
        if unknown := sorted(set(slugs) - known):
            problems.append(
                Problem("allowed_teams", f"Team '{unknown[0]}' does not exist. Name teams by their slug.")
            )
    if "currency" in changed and pool.shares.filter(monthly_budget_money__isnull=False).exists():
        message = (
            f"Teams have budgets in {pool.currency}. Remove them first; booked charges keep their currency."
        )
        problems.append(Problem("currency", message))
    if problems:
        raise SettingsError(problems)
