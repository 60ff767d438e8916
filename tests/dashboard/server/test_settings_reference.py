"""Environment variables of the source in docs/settings.md."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from dashboard.server import settings_reference
from dashboard.server.env import VARIABLES


def test_the_page_is_what_the_command_prints():
    page = Path(settings.BASE_DIR) / "docs" / "settings.md"
    assert page.read_text() == settings_reference.render_reference(), (
        "run: manage.py settings > docs/settings.md"
    )


def test_every_variable_in_the_source_is_listed():
    listed = (
        set(VARIABLES)
        | {row.name for row in settings_reference.OTHER_VARIABLES}
        | set(settings_reference.INTERNAL)
    )
    assert settings_reference.variables_in_source() <= listed


def test_every_listed_variable_is_read_somewhere():
    """The client builds its variables' names from the fields of its options."""
    client = "".join(
        path.read_text() for path in (Path(settings.BASE_DIR) / "fourwalls").glob("*.py")
    ).upper()
    read = settings_reference.variables_in_source()
    others = {row.name for row in settings_reference.OTHER_VARIABLES}
    assert not {name for name in others - read if name.removeprefix("FOURWALLS_") not in client}


def test_every_variable_has_a_meaning():
    rows = (*VARIABLES.values(), *settings_reference.OTHER_VARIABLES)
    assert not [row.name for row in rows if not row.meaning.endswith(".")]
