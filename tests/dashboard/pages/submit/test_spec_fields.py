"""The form's optimiser fields, which come from the table of optimisers."""

from __future__ import annotations

from dashboard.pages.submit.spec_fields import FIELDS
from engine.spec.optimisers import OPTIMISERS
from engine.spec.parts import Optimiser


def test_the_form_offers_every_optimiser_of_the_table():
    assert FIELDS["optimiser.name"].choices == tuple(OPTIMISERS)


def test_a_field_is_shown_only_for_the_optimisers_that_read_it():
    for name in Optimiser.model_fields.keys() - {"name"}:
        readers = [row.name for row in OPTIMISERS.values() if name in row.fields]
        shown_for = FIELDS[f"optimiser.{name}"].when.removeprefix("optimiser.name=").split()
        assert (shown_for or list(OPTIMISERS)) == readers
