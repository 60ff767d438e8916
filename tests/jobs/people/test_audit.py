"""Audit log: each entry fits the one before, and any change of a row shows."""

from __future__ import annotations

import random
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from jobs.models import AuditEntry
from jobs.people import audit

pytestmark = pytest.mark.django_db


def _fill(number: int) -> list[int]:
    rng = random.Random(number)
    codes = sorted(audit.TITLES)
    for index in range(number):
        source = audit.Source(f"p{index % 3}", f"10.0.0.{index % 250}")
        audit.record(source, rng.choice(codes), f"t{index} é", {"n": str(index), "more": {"a": [1, 2]}})
    return list(AuditEntry.objects.order_by("id").values_list("id", flat=True))


def test_untouched_entries_fit():
    _fill(50)
    assert audit.verify() == (50, None)
    out = StringIO()
    call_command("audit", "verify", stdout=out)
    assert "50 entries, none changed" in out.getvalue()


CHANGES = {
    "actor": "other", "address": "", "code": "member.added", "target": "t", "values": {"n": "1"},
    "previous_sha256": "", "sha256": "0" * 64,
}  # fmt: skip


@pytest.mark.parametrize("field", [*CHANGES, "at"])
@pytest.mark.parametrize("seed", range(3))
def test_a_changed_field_of_any_entry_shows(field, seed):
    ids = _fill(20)
    victim = AuditEntry.objects.get(id=random.Random(seed).choice(ids[1:]))
    value = victim.at + timedelta(microseconds=1) if field == "at" else CHANGES[field]
    if getattr(victim, field) == value:
        value = "member.removed"
    AuditEntry.objects.filter(id=victim.id).update(**{field: value})
    found = audit.verify()
    assert found.broken is not None
    assert found.broken.id == victim.id
    with pytest.raises(CommandError, match=f"Entry {victim.id} "):
        call_command("audit", "verify")


@pytest.mark.parametrize("seed", range(5))
def test_a_deleted_entry_shows_at_the_next_one(seed):
    ids = _fill(20)
    index = random.Random(seed).randrange(19)
    AuditEntry.objects.filter(id=ids[index]).delete()
    assert audit.verify().broken.id == ids[index + 1]


def test_a_code_without_a_title_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="no title"):
        audit.record(audit.SERVER, "something.else", "x")
