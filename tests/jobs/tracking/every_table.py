"""Rows in every table that belongs to a run, made from Django's description of the tables."""

from __future__ import annotations

import random
from typing import Any

from django.apps import apps
from django.db import models
from django.utils import timezone

from jobs.models import Attempt, Job, Lease, Run

FIXED: dict[type[models.Model], dict[str, Any]] = {
    Lease: {"is_active": False}
}  # a device has one active lease
Pks = dict[type[models.Model], set[Any]]


def list_tables() -> list[type[models.Model]]:
    return list(apps.get_app_config("jobs").get_models())


def list_owned() -> list[type[models.Model]]:
    """Every model that reaches a run or a job over a foreign key that is not null."""
    owned: list[type[models.Model]] = [Run, Job]
    is_growing = True
    while is_growing:
        more = [model for model in list_tables() if model not in owned and _owners(model, owned)]
        owned += more
        is_growing = bool(more)
    return owned


def _owners(model: type[models.Model], owned: list[type[models.Model]]) -> bool:
    keys = [field for field in model._meta.concrete_fields if field.is_relation]
    cascades = [key for key in keys if key.remote_field.on_delete is models.CASCADE]
    return any(key.related_model in owned for key in cascades)


def read_pks() -> Pks:
    return {model: set(model._default_manager.values_list("pk", flat=True)) for model in list_tables()}


def read_rows() -> dict[type[models.Model], list[dict[str, Any]]]:
    return {model: list(model._default_manager.order_by("pk").values()) for model in list_tables()}


class RowMaker:
    """Makes rows of one job's run, one of each model at least, with drawn values."""

    def __init__(self, job: Job, attempt: Attempt, seed: int) -> None:
        self.random = random.Random(seed)
        self.number = seed * 1000
        self.known: dict[type[models.Model], models.Model] = {Job: job, Run: job.run, Attempt: attempt}

    def fill(self) -> None:
        for model in list_owned():
            if model not in self.known:
                self._make(model)
            for _ in range(self.random.randrange(3)):
                if model not in (Run, Job, Attempt) and not self._is_single(model):
                    self._make(model)

    def _is_single(self, model: type[models.Model]) -> bool:
        """Whether a second row would need other objects than this run has: its key is one of them."""
        keys = {field.name for field in model._meta.concrete_fields if field.is_relation}
        unique = [
            set(one.fields) for one in model._meta.constraints if isinstance(one, models.UniqueConstraint)
        ]
        is_one_to_one = any(field.one_to_one for field in model._meta.concrete_fields)
        return is_one_to_one or any(fields <= keys for fields in unique)

    def _make(self, model: type[models.Model]) -> models.Model:
        values: dict[str, Any] = {}
        for field in model._meta.concrete_fields:
            is_given = field.has_default() or field.null or getattr(field, "auto_now_add", False)
            if (field.primary_key and not field.is_relation) or (is_given and not field.is_relation):
                continue
            if getattr(field, "generated", False) or (field.is_relation and field.null):
                continue
            values[field.name] = self._related(field) if field.is_relation else self._value(field)
        row = model._default_manager.create(**values | FIXED.get(model, {}))
        self.known.setdefault(model, row)
        return row

    def _related(self, field: Any) -> models.Model:
        model = field.related_model
        if model not in self.known:
            self.known[model] = model._default_manager.first() or self._make(model)
        return self.known[model]

    def _value(self, field: models.Field[Any, Any]) -> Any:
        self.number += 1
        if field.choices:
            return self.random.choice([value for value, _ in field.choices])
        kind = field.get_internal_type()
        if kind in ("CharField", "TextField", "SlugField"):
            return f"{self.number}"[: field.max_length or 20]
        if kind == "BinaryField":
            return self.random.randbytes(self.random.randint(1, 16))
        if kind in ("DateTimeField", "DateField"):
            return timezone.now()
        if kind == "JSONField":
            return {}
        if kind == "BooleanField":
            return self.random.random() < 0.5
        return self.number % 30_000
