"""Fields of runs: attributes, metrics, parameters and tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from django.db.models import F, OuterRef, Subquery
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from engine.request_limits import KEY_CHARS
from jobs.epoch import Epoch
from jobs.models import RunVerdict

Kind = Literal["attribute", "metric", "param", "tag"]
Type = Literal["text", "number", "share", "time", "seconds"]
# What min(loss) and the others read: a column of RunMetric
STATS = {"last": "last", "min": "low", "max": "high", "mean": "mean"}
PLAIN = re.compile(r"[^\s()<>=!~,\"':]+")
CALL = re.compile(r"(last|min|max|mean)\((.*)\)", re.DOTALL)
OWN_WORDS = ("and", "or", "not", "in", "none", "nan", "me")


class FieldError(ValueError):
    """An unknown column; the message names it."""


@dataclass(frozen=True)
class Attribute:
    """A property of every run, possibly empty."""

    name: str
    title: str
    type: Type
    read: Combinable
    meaning: str = ""
    is_exact: bool = False  # `owner:tom` is the whole name; without it a part is enough


def _either(of_job: str, of_run: str) -> Coalesce:
    """The job's column for a job's run, the run's own column for others."""
    return Coalesce(of_job, of_run)


def _verdict_column(column: str) -> Subquery:
    """A column of the run's verdict with the newest rules."""
    rows = RunVerdict.objects.filter(run=OuterRef("pk")).order_by("-rules_version")
    return Subquery(rows.values(column)[:1])


STARTED = _either("job__started_at", "started_at")
ENDED = _either("job__ended_at", "ended_at")
ATTRIBUTES: dict[str, Attribute] = {
    row.name: row
    for row in (
        Attribute("name", "Run", "text", F("name")),
        Attribute("state", "State", "text", _either("job__state", "state"), is_exact=True),
        Attribute("owner", "Owner", "text", F("owner__username"), is_exact=True),
        Attribute("project", "Project", "text", F("project__name"), is_exact=True),
        Attribute("pool", "Pool", "text", F("job__pool__name"), is_exact=True),
        Attribute("team", "Team", "text", F("team__slug"), is_exact=True),
        Attribute("steps", "Steps", "number", F("job__step"), "Steps done"),
        Attribute("devices", "Devices", "number", F("job__num_devices"), "Devices of its job"),
        Attribute("created", "Created", "time", F("created_at"), "When it was submitted or first logged"),
        Attribute("started", "Started", "time", STARTED, "Time of its first step"),
        Attribute("ended", "Ended", "time", ENDED),
        Attribute(
            "duration",
            "Duration",
            "seconds",
            Epoch(Coalesce(ENDED, Now())) - Epoch(STARTED),
            "From its first step to its end, or until now",
        ),
        Attribute("verdict", "Verdict", "text", _verdict_column("name"), "Which limit it hits; two if mixed"),
        Attribute(
            "limit", "Limit", "text", _verdict_column("limit"), "compute, memory, bandwidth, power or mixed",
            is_exact=True,
        ),
        Attribute("share", "Limit costs", "share", _verdict_column("share"), "Share of each step, or of the clock"),
        Attribute(
            "severity", "Severity", "text", _verdict_column("severity"),
            "notable from 10 % of the step, strong above 20 %",
            is_exact=True,
        ),
        Attribute("health", "Health", "text", F("health__name"), "What its loss curves show"),
        Attribute(
            "goodput", "Goodput", "share", F("ledger__goodput_share"),
            "Share of the time on its devices that was spent in steps whose result is kept",
        ),
        Attribute(
            "clock_rate", "Tokens/s by the clock", "number", F("ledger__clock_tokens_per_s"),
            "Tokens of kept steps over the time since the first step of each attempt",
        ),
        Attribute("note", "Note", "text", F("note")),
        Attribute("origin", "Logged by", "text", F("origin"), "The program, of a run without a job", is_exact=True),
        Attribute("parent", "Parent", "text", F("parent_id"), "The id of the run it belongs to", is_exact=True),
        Attribute("job", "Job", "text", F("job_id"), is_exact=True),
        Attribute("id", "Id", "text", F("id")),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One field. Its text is used in addresses: name, last(loss), param:model.layers, tag:stage."""

    kind: Kind
    key: str
    stat: str = ""  # of a metric, a key of STATS

    def __str__(self) -> str:
        if self.kind == "metric":
            return f"{self.stat}({quoted(self.key)})"
        return self.key if self.kind == "attribute" else f"{self.kind}:{quoted(self.key)}"

    @property
    def is_number(self) -> bool:
        """Whether every value is a number."""
        return self.kind == "metric" or (
            self.kind == "attribute" and ATTRIBUTES[self.key].type in ("number", "share", "seconds")
        )


def field_from_text(text: str) -> Field:
    """The field that a text of an address names. Raises FieldError."""
    called = CALL.fullmatch(text)
    if called:
        return _checked(Field("metric", unquoted(called[2]), called[1]))
    prefix, colon, rest = text.partition(":")
    if colon and prefix in ("param", "tag"):
        return _checked(Field("param" if prefix == "param" else "tag", unquoted(rest)))
    if text not in ATTRIBUTES:
        raise FieldError(
            f"'{text[:80]}' is not a column. Write one as state, last(loss), param:model.layers or tag:stage."
        )
    return Field("attribute", text)


def quoted(key: str) -> str:
    """The key as a filter takes it; words of the language are quoted."""
    if PLAIN.fullmatch(key) and key.lower() not in OWN_WORDS:
        return key
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _checked(field: Field) -> Field:
    if not 0 < len(field.key) <= KEY_CHARS or "\0" in field.key:
        raise FieldError(f"A name has 1 to {KEY_CHARS} characters; this one has {len(field.key)}.")
    return field
