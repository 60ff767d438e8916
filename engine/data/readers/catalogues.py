"""Message catalogues that programs ship: their texts in English and in other languages."""

from __future__ import annotations

import gettext
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from engine.data.examples import Example
from engine.data.lines import LineError, normalised

SYSTEM = Path("/usr/share/locale")
# Languages in Latin letters, so that letters alone do not tell them apart; Django has all of them.
LANGUAGES = {
    "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "es": "Spanish", "fi": "Finnish",
    "fr": "French", "hu": "Hungarian", "it": "Italian", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "sk": "Slovak", "sv": "Swedish", "tr": "Turkish",
}  # fmt: skip
WORDS = range(3, 17)  # of a source; shorter ones are labels of buttons
LETTERS_SHARE = 0.95  # of a message, spaces counted in; below are command lines, patterns and tables


def translated(language: str) -> Iterator[Example]:
    """English messages with their translation, of Django and of the programs of this machine."""
    seen = set()
    for path in [*_of_django(language), *_of_system(language)]:
        for english, other in _messages(path):
            if _is_sentence(english) and english != other and english not in seen:
                seen.add(english)
                yield Example(english, other)


def languages() -> Iterator[Example]:
    """Django's messages in sixteen languages, labelled with the language's name. What reads the same in two of them
    tells nothing and is left out."""
    found: dict[str, set[str]] = {}
    for code, name in LANGUAGES.items():
        for path in _of_django(code):
            for english, other in _messages(path):
                if len(other) >= 12 and other != english:
                    found.setdefault(other, set()).add(name)
    for text, names in found.items():
        if len(names) == 1:
            yield Example(text, *names)


def _is_sentence(text: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in text)
    return len(text.split()) in WORDS and letters >= LETTERS_SHARE * len(text)


def versions(language: str) -> str:
    """What tells that the catalogues are still the same: names and sizes."""
    paths = [*_of_django(language), *_of_system(language)]
    return " ".join(f"{path.name}:{path.stat().st_size}" for path in paths)


def _of_django(language: str) -> list[Path]:
    spec = importlib.util.find_spec("django")
    assert spec is not None and spec.origin is not None, "the dashboard's own dependency"
    return sorted(Path(spec.origin).parent.rglob(f"locale/{language}/LC_MESSAGES/django.mo"))


def _of_system(language: str) -> list[Path]:
    return sorted((SYSTEM / language / "LC_MESSAGES").glob("*.mo"))


def _messages(path: Path) -> Iterator[tuple[str, str]]:
    """(message, translation) of a compiled catalogue; of plural forms the singular."""
    try:
        with open(path, "rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    except (OSError, UnicodeDecodeError, ValueError):
        return  # a few programs ship catalogues in other encodings
    for key, translation in catalogue.items():
        if isinstance(key, tuple) and key[1] != 0:
            continue
        message = (key[0] if isinstance(key, tuple) else key).rpartition("\x04")[2]  # without its context
        try:
            english, other = normalised(message), normalised(translation)
        except LineError:
            continue
        if english and other:
            yield english, other
