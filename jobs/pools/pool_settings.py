"""What a pool allows: its settings as one table, who may change them, and which specs it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db import transaction

from engine.spec.parts import DEFAULT_TIME_LIMIT_S
from engine.spec.spec import Problem, Spec
from jobs.models import Pool, PoolEvent, Team
from jobs.pools import setting_types
from jobs.pools.setting_types import Setting, SettingsError

LONGEST_S = 60 * 60 * 24 * 60  # as engine.spec.parts.Budget

SETTINGS: tuple[Setting, ...] = (
    Setting("is_open", "Open", "A closed pool starts nothing new and takes no new job",
            setting_types.switch, lambda value: str(value).lower(), kind="switch"),
    Setting("allows_several_nodes", "Gangs over nodes", "A job that no node can hold alone may have ranks on several",
            setting_types.switch, lambda value: str(value).lower(), kind="switch"),
    Setting("labels", "Labels", "key=value, what a spec may require: gpu=h200, site=north",
            setting_types.labels, setting_types.said_labels, absent="none"),
    Setting("allowed_teams", "Teams", "Who may submit here; none ticked: every team",
            lambda text: sorted(set(text.split())), " ".join, absent="every team", kind="teams"),
    Setting("default_time_limit_s", "Default time limit", "Of a spec that names none: 90 s, 15 min, 2 h, 3 d",
            setting_types.span_s(10, LONGEST_S), setting_types.said_span, absent="1 h"),
    Setting("max_time_limit_s", "Longest time limit", "Of one attempt; a spec that asks for more is refused",
            setting_types.span_s(10, LONGEST_S), setting_types.said_span),
    Setting("max_gang", "Largest gang", "Devices that one job may hold at once",
            setting_types.whole(1, 65536), lambda value: setting_types.said_number(value), "devices"),
    Setting("price_per_device_hour", "Price of a device-hour", "Booked with each attempt as it ends",
            setting_types.number(0, 1e6), setting_types.said_number, absent="no price"),
    Setting("tariff_per_kwh", "Tariff of a kWh", "For energy that was measured, on top of the device-hours",
            setting_types.number(0, 1e6), setting_types.said_number, absent="no tariff"),
    Setting("currency", "Currency", "ISO code of both prices; what is booked keeps its own",
            setting_types.currency, str),
    Setting("carbon_g_per_kwh", "Carbon of a kWh", "Grams of CO2e a kWh emits; always shown as estimated",
            setting_types.number(0, 5000), setting_types.said_number, absent="not said"),
    Setting("pue", "PUE", "Energy of the whole site over that of its computers; empty: computers only",
            setting_types.number(1, 10), setting_types.said_number, absent="1 (computers only)"),
    Setting("idle_after_s", "Idle after", "Without a step and with all devices unused for so long; empty: nobody looks",
            setting_types.span_s(60, LONGEST_S), setting_types.said_span, absent="never"),
    Setting("idle_below_pct", "Unused below", "Mean utilisation of a device in percent",
            setting_types.required(setting_types.number(0.1, 100)), setting_types.said_number, "%"),
    Setting("idle_warn_s", "Warned before", "From the warning to the stop at a checkpoint",
            setting_types.required(setting_types.span_s(60, LONGEST_S)), setting_types.said_span),
    Setting("idle_extension_s", "Extension", "That a person may add to that, once",
            setting_types.required(setting_types.span_s(60, LONGEST_S)), setting_types.said_span),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}


class Stale(Exception):
    """Somebody else has changed the pool since the page was read; the message says who."""


def texts_of(pool: Pool) -> dict[str, str]:
    """Each setting as a field shows it."""
    return {setting.name: setting.write(_value(pool, setting.name)) for setting in SETTINGS}


def change(pool: Pool, actor: str, texts: Mapping[str, str], seen: int | None = None) -> PoolEvent | None:
    """Write the settings that `texts` names and the event that says what changed; None where nothing did. `seen` is
    the newest event that the person has read. Raises SettingsError with every problem, and Stale."""
    values = setting_types.read_all(SETTINGS, texts)
    with transaction.atomic():
        current = Pool.objects.select_for_update(no_key=True).get(id=pool.id)
        refuse_stale(current, seen)
        before = {name: _value(current, name) for name in values}
        changed = {name: value for name, value in values.items() if value != before[name]}
        _refuse(current, changed)
        teams = changed.pop("allowed_teams", None)
        if changed:
            Pool.objects.filter(id=pool.id).update(**changed)
        if teams is not None:
            current.allowed_teams.set(Team.objects.filter(slug__in=teams))
            changed["allowed_teams"] = teams
        if not changed:
            return None
        text = said_changes([(BY_NAME[name], before[name], value) for name, value in changed.items()])
        return PoolEvent.objects.create(pool=current, actor=actor, text=text)


def refuse_stale(pool: Pool, seen: int | None, team: Team | None = None) -> None:
    """Of the pool's own settings, or of one team's share. Call it with the pool's row locked. Raises Stale."""
    newest = PoolEvent.objects.filter(pool=pool, team=team).order_by("-id").first()
    if seen is not None and newest is not None and newest.id > seen:
        raise Stale(
            f"{newest.actor} has changed this meanwhile ({newest.at:%H:%M} UTC). What you typed is still here and "
            "nothing of it was saved: look at the history, then save again."
        )


def said_changes(changes: Iterable[tuple[Setting, Any, Any]]) -> str:
    return "\n".join(f"{s.title}: {s.said(before)} → {s.said(after)}" for s, before, after in changes)


def time_limit_s(pool: Pool) -> int:
    """Of a spec that names none."""
    if pool.default_time_limit_s is not None:
        return pool.default_time_limit_s
    return min(DEFAULT_TIME_LIMIT_S, pool.max_time_limit_s or DEFAULT_TIME_LIMIT_S)


def complete(spec: Spec, pool: Pool) -> Spec:
    """The spec with what the pool decides where it says nothing."""
    if spec.budget.time_limit_s is not None:
        return spec
    return spec.model_copy(
        update={"budget": spec.budget.model_copy(update={"time_limit_s": time_limit_s(pool)})}
    )


def problems(spec: Spec, pool: Pool, team: Team | None) -> Iterator[Problem]:
    """What the pool's settings have against a spec. Without a team, only what holds for every team."""
    if team is not None:
        yield from _team_problems(pool, team)
    yield from _label_problems(spec, pool, team)
    most_s, asked_s = pool.max_time_limit_s, spec.budget.time_limit_s
    if most_s is not None and asked_s is not None and asked_s > most_s:
        yield Problem(
            "budget.time_limit_s",
            f"{asked_s} s are more than pool '{pool.name}' allows: {most_s} s "
            f"({setting_types.said_span(most_s)}). Ask for less and resume from a checkpoint, or choose another pool.",
            {"budget.time_limit_s": most_s},
        )
    need, stages = spec.parallel.world_size, spec.parallel.stages
    if pool.max_gang is not None and need > pool.max_gang:
        fits = stages <= pool.max_gang
        yield Problem(
            "parallel.data" if fits else "parallel.stages",
            f"{spec.parallel.data} x {stages} = {need} ranks need {need} devices; pool '{pool.name}' gives one job "
            f"{pool.max_gang} at the most.",
            {"parallel.data": pool.max_gang // stages} if fits else
            {"parallel.data": 1, "parallel.stages": min(pool.max_gang, spec.model.layers)},
        )  # fmt: skip


def is_allowed(pool: Pool, team: Team) -> bool:
    allowed = {one.id for one in pool.allowed_teams.all()}
    return not allowed or team.id in allowed


def open_to(team: Team | None) -> Iterator[Pool]:
    """Pools that take the team's jobs, by name. Two queries."""
    for pool in Pool.objects.filter(is_open=True).order_by("name").prefetch_related("allowed_teams"):
        if team is None or is_allowed(pool, team):
            yield pool


def _team_problems(pool: Pool, team: Team) -> Iterator[Problem]:
    if is_allowed(pool, team):
        return
    others = [one.name for one in open_to(team)]
    hint = f"Open to it: {', '.join(others[:5])}." if others else "No pool is open to it: ask an admin."
    said = f"Pool '{pool.name}' takes no jobs of team {team.name}. {hint}"
    yield Problem("pool", said, {"pool": others[0]} if others else {})


def _label_problems(spec: Spec, pool: Pool, team: Team | None) -> Iterator[Problem]:
    try:
        wanted = setting_types.labels(spec.requires)
    except ValueError as error:
        yield Problem("requires", str(error))
        return
    if missing := _missing(wanted, pool):
        fitting = next((one.name for one in open_to(team) if not _missing(wanted, one)), None)
        has = setting_types.said_labels(pool.labels) or "none"
        yield Problem(
            "requires",
            f"Pool '{pool.name}' has not {setting_types.said_labels(missing)} (its labels: {has}). "
            + (
                f"Pool '{fitting}' has all that is required."
                if fitting
                else "No pool has all that is required."
            ),
            {"pool": fitting} if fitting else {"requires": ""},
        )


def _missing(wanted: Mapping[str, str], pool: Pool) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if pool.labels.get(key) != value}


def _value(pool: Pool, name: str) -> Any:
    if name == "allowed_teams":
        return sorted(team.slug for team in pool.allowed_teams.all())
    return getattr(pool, name)


def _refuse(pool: Pool, changed: Mapping[str, Any]) -> None:
    """What values have against each other, once they would all be written. Raises SettingsError."""
    found = []
    default_s = changed.get("default_time_limit_s", pool.default_time_limit_s)
    most_s = changed.get("max_time_limit_s", pool.max_time_limit_s)
    if default_s is not None and most_s is not None and default_s > most_s:
        default, most = setting_types.said_span(default_s), setting_types.said_span(most_s)
        text = f"{default} is longer than the longest time limit, {most}. Lower it, or raise that one."
        found.append(Problem("default_time_limit_s", text))
    if wanted := changed.get("allowed_teams"):
        known = set(Team.objects.filter(slug__in=wanted).values_list("slug", flat=True))
        if unknown := sorted(set(wanted) - known):
            found.append(
                Problem("allowed_teams", f"There is no team '{unknown[0]}'. Teams are named by their slug.")
            )
    if "currency" in changed and pool.shares.filter(monthly_budget_money__isnull=False).exists():
        said = f"Teams have budgets in {pool.currency}. Take those away first; what is booked keeps its currency."
        found.append(Problem("currency", said))
    if found:
        raise SettingsError(found)
