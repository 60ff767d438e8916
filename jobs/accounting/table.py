"""Lines of accounting as a table of texts: the same for the page, the file that is saved of it, and the shell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jobs.accounting.totals import NOT_MEASURED, Line

J_PER_KWH = 3.6e6
# A spreadsheet takes a cell that begins so for a formula; an apostrophe in front makes it a text.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Table:
    heads: list[str]
    rows: list[list[str]]
    num_figures: int  # columns of figures, behind those of names


def of(lines: Sequence[Line], by: Sequence[str], total: Line) -> Table:
    """A column for each currency that occurs in all, and one for time without a price where there is such."""
    currencies = sorted(total.money)
    columns = [*COLUMNS, *((currency, _money(currency)) for currency in currencies)]
    if total.carbon_g is not None:
        columns.append(
            ("CO2e g, estimated", lambda line: "" if line.carbon_g is None else _figure(line.carbon_g, 1))
        )
    if currencies and total.unpriced_device_s:
        columns.append(("unpriced device-hours", lambda line: _hours(line.unpriced_device_s)))
    return Table(
        heads=[*by, *(head for head, _ in columns)],
        rows=[[*(line.keys[name] for name in by), *(write(line) for _, write in columns)] for line in lines],
        num_figures=len(columns),
    )


def for_csv(table: Table) -> Iterable[list[str]]:
    """The rows as they stand, but for names that a spreadsheet would run."""
    left = len(table.heads) - table.num_figures
    for row in table.rows:
        yield [*(harmless(text) for text in row[:left]), *row[left:]]


def harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _figure(value: float, digits: int) -> str:
    """With so many decimals; what is smaller with three digits, so that nothing that was used reads 0.00."""
    return f"{value:.{digits}f}" if not value or abs(value) >= 10**-digits else f"{value:.3g}"


def _hours(seconds: float) -> str:
    return _figure(seconds / 3600, 2)


def _measured(value: float | None, size: float, digits: int) -> str:
    return NOT_MEASURED if value is None else _figure(value / size, digits)


def _share(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f}"


def _money(currency: str) -> Callable[[Line], str]:
    return lambda line: _figure(line.money[currency], 2) if currency in line.money else ""


COLUMNS: tuple[tuple[str, Callable[[Line], str]], ...] = (
    ("attempts", lambda line: str(line.attempts)),
    ("device-hours", lambda line: _hours(line.device_s)),
    ("wasted device-hours", lambda line: _hours(line.wasted_device_s)),
    ("wasted %", lambda line: _share(line.wasted_share)),
    ("unused device-hours", lambda line: _measured(line.unused_device_s, 3600, 2)),
    ("use measured %", lambda line: _share(line.use_share)),
    ("energy kWh", lambda line: _measured(line.energy_j, J_PER_KWH, 3)),
    ("energy measured %", lambda line: _share(line.energy_share)),
)
