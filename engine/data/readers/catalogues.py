"""Message catalogues of installed programs, in English and other languages."""

from __future__ import annotations

import gettext
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from engine.data.examples import Example
from engine.data.lines import LineError, normalise

SYSTEM = Path("/usr/share/locale")
# Languages in Latin script, so that letters alone do not identify them. Django has all of them.
LANGUAGES = {
    "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "es": "Spanish", "fi": "Finnish",
    "fr": "French", "hu": "Hungarian", "it": "Italian", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "sk": "Slovak", "sv": "Swedish", "tr": "Turkish",
}  # fmt: skip
WORDS = range(3, 17)  # number of words of a source; shorter messages are labels of buttons
LETTERS_SHARE = 0.95  # least share of letters and spaces; command lines, patterns and tables have less


def read_translations(language: str) -> Iterator[Example]:
    """Yield English messages with their translation, of Django and of the programs on this machine."""
    seen = set()
    for path in [*_django_catalogues(language), *_system_catalogues(language)]:
        for english, other in _read_messages(path):
            if _is_sentence(english) and english != other and english not in seen:
                seen.add(english)
                yield Example(english, other)


def read_languages() -> Iterator[Example]:
    """Yield Django's messages in sixteen languages, labelled with the name of the language.

    Messages that are the same in two languages are left out.
    """
    found: dict[str, set[str]] = {}
    for code, name in LANGUAGES.items():
        for path in _django_catalogues(code):
            for english, other in _read_messages(path):
                if len(other) >= 12 and other != english:
                    found.setdefault(other, set()).add(name)
    for text, names in found.items():
        if len(names) == 1:
            yield Example(text, *names)


def _is_sentence(text: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in text)
    return len(text.split()) in WORDS and letters >= LETTERS_SHARE * len(text)


def describe_versions(language: str) -> str:
    """Return names and sizes of the catalogues, which change when their content does."""
    paths = [*_django_catalogues(language), *_system_catalogues(language)]
    return " ".join(f"{path.name}:{path.stat().st_size}" for path in paths)


def _django_catalogues(language: str) -> list[Path]:
    spec = importlib.util.find_spec("django")
    assert spec is not None and spec.origin is not None, "the dashboard's own dependency"
    return sorted(Path(spec.origin).parent.rglob(f"locale/{language}/LC_MESSAGES/django.mo"))


def _system_catalogues(language: str) -> list[Path]:
    return sorted((SYSTEM / language / "LC_MESSAGES").glob("*.mo"))


def _read_messages(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (message, translation) of a compiled catalogue; for plural forms only the singular."""
    try:
        with open(path, "rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    except (OSError, UnicodeDecodeError, ValueError):
        return  # some catalogues have an encoding that Python cannot read
    for key, translation in catalogue.items():
        if isinstance(key, tuple) and key[1] != 0:
            continue
        message = (key[0] if isinstance(key, tuple) else key).rpartition("\x04")[2]  # without its context
        try:
            english, other = normalise(message), normalise(translation)
        except LineError:
            continue
        if english and other:
            yield english, other
