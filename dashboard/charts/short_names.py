"""Names of runs reduced to what tells them apart."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

LONG = 24  # characters; a shorter name is shown whole
CUT = "…"
TOKENS = re.compile(r"(?:[^-_/,:; ]|(?<=\d[eE])-(?=\d))+[-_/,:; ]*|[-_/,:; ]+")  # 1e-4 is one
SEPARATORS = "-_/,:; "


def shorten_names(names: Sequence[str]) -> list[str]:
    """Return a text for each name, without what all long names of its kind share. Different names stay different."""
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        if len(name) > LONG:
            kinds[_tokens(name)[0]].add(name)
    short = {name: name for name in names}
    for first, some in kinds.items():
        if len(some) > 1:
            short |= _shorten_kind(sorted(some), first if len(kinds) > 1 else "")
    times = Counter(short[name] for name in set(names))
    return [short[name] if times[short[name]] == 1 else name for name in names]


def _shorten_kind(names: Sequence[str], kept: str) -> dict[str, str]:
    """`names` begin with the same token, which is `kept` where other names begin differently."""
    rows = [_tokens(name) for name in names]
    shortest = min(map(len, rows))
    first = next((n for n in range(shortest) if len({row[n] for row in rows}) > 1), shortest)
    rest = range(1, shortest - first + 1)
    last = next((n - 1 for n in rest if len({row[-n] for row in rows}) > 1), shortest - first)
    has_one_shape = len(set(map(len, rows))) == 1
    found = {}
    for name, row in zip(names, rows, strict=True):
        middle = row[first : len(row) - last]
        if has_one_shape:
            middle = _drop_shared(middle, [other[first : len(other) - last] for other in rows])
        text = (
            kept + (CUT if len("".join(row[:first])) > len(kept) else "") + "".join(middle).rstrip(SEPARATORS)
        )
        found[name] = text if len(text) < len(name) else name
    return found


def _drop_shared(row: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Replace each stretch of tokens that all rows share by one cut, unless it is as short."""
    kept: list[str] = []
    shared: list[str] = []
    for index, token in enumerate(row):
        if all(other[index] == token for other in rows):
            shared.append(token)
            continue
        kept += [CUT] if len("".join(shared)) > 3 else shared
        shared = []
        kept.append(token)
    return kept + shared


def _tokens(name: str) -> list[str]:
    return TOKENS.findall(name)
