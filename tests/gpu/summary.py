"""Summary of a folder as a table in text and in Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.commands.tables import format_table
from tests.gpu.results import DIFFERENCE, PartResult, Row, sum_up

HEADS = ("asked", "predicted", "measured", "error", "standing", "note")
SCALES = {"B": (1e9, "GB"), "FLOP/s": (1e12, "TFLOP/s"), "B/s": (1e9, "GB/s"), "s": (1e-3, "ms")}
NOTE_CHARACTERS = 110


def write_summary(folder: Path, about: dict[str, Any], parts: list[PartResult]) -> None:
    (folder / "summary.txt").write_text(_as_text(about, parts))
    (folder / "summary.md").write_text(_as_markdown(about, parts))


def describe(about: dict[str, Any]) -> str:
    took = f"{about['took_s']:.0f} s of at most {60 * about['minutes']:.0f} s"
    loads = f"load {min(about['loads'].values()):.1f} to {max(about['loads'].values()):.1f}"
    versions = f"driver {about['driver']}, torch {about['torch']}"
    where = f"{about['device']}, {versions}, {about['date']}, {took}, {loads} on {about['cores']} cores"
    if about["is_dry_run"]:
        return f"DRY RUN: tiny shapes on a CPU, which say nothing about a GPU. {where}"
    return f"Measured on {where}"


def _as_text(about: dict[str, Any], parts: list[PartResult]) -> str:
    sections = [describe(about)]
    for part in parts:
        sections.append("\n".join([_head(part), *_sums(part)]))
        if part.rows:
            sections.append(_table([_cells(row) for row in part.rows]))
    return "\n\n".join(sections) + "\n"


def _table(rows: list[tuple[str, ...]]) -> str:
    """A table whose last column, the notes, is aligned to the left."""
    width = max(len(row[-1]) for row in rows)
    padded = [(*row[:-1], row[-1].ljust(width)) for row in rows]
    lines = format_table((*HEADS[:-1], HEADS[-1].ljust(width)), padded).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def _as_markdown(about: dict[str, Any], parts: list[PartResult]) -> str:
    lines = [f"# {'Dry run' if about['is_dry_run'] else 'GPU measurement'}", "", describe(about), ""]
    for part in parts:
        lines += [f"## {_head(part)}", "", *(f"- {line}" for line in _sums(part)), ""]
        if part.rows:
            lines += [
                _line(HEADS),
                _line(["---"] * len(HEADS)),
                *(_line(_cells(row)) for row in part.rows),
                "",
            ]
    return "\n".join(lines)


def _line(cells: Any) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _head(part: PartResult) -> str:
    mark = " (dry run)" if part.is_dry_run else ""
    reason = f": {part.error}" if part.error else ""
    return f"{part.title}{mark}: {part.state} after {part.took_s:.0f} s of {part.budget_s:.0f} s{reason}"


def _sums(part: PartResult) -> list[str]:
    lines = []
    for quantity, sums in sum_up(part.rows).items():
        text = f"{quantity}: {sums['compared']:.0f} of {sums['rows']:.0f} compared"
        if "median_error" in sums:
            text += f", median error {sums['median_error']:.1%}, worst {sums['worst_error']:.1%}"
        if "verdicts" in sums:
            text += f", {sums['right']:.0f} of {sums['verdicts']:.0f} verdicts as expected"
        lines.append(text)
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    if row.error is None:
        error = ""
    else:
        error = f"{100 * row.error:+.1f} points" if row.error_is == DIFFERENCE else f"{row.error:+.1%}"
    note = " ".join(row.note.split())
    note = note if len(note) <= NOTE_CHARACTERS else f"{note[: NOTE_CHARACTERS - 1]}…"
    asked = f"{row.quantity}: {row.asked}"
    return asked, _figure(row.predicted, row.unit), _figure(row.measured, row.unit), error, row.standing, note


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "share":
        return f"{value:.1%}"
    scale, name = SCALES.get(unit, (1.0, unit))
    return f"{value / scale:,.4g} {name}".rstrip()
