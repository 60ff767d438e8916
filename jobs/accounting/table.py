"""Accounting rows as a table of texts for the page, its CSV file and the shell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jobs.accounting.totals import NOT_MEASURED, UsageRow

J_PER_KWH = 3.6e6
# A spreadsheet reads a cell with one of these first characters as a formula, unless an apostrophe precedes it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class AccountingTable:
    headers: list[str]
    rows: list[list[str]]
    num_value_columns: int  # columns of figures; they follow the columns of names


def build_table(rows: Sequence[UsageRow], by: Sequence[str], total: UsageRow) -> AccountingTable:
    """Build the table, with a column per currency of the total and one for unpriced time if there is any."""
    currencies = sorted(total.money)
    columns = [*COLUMNS, *((currency, _money(currency)) for currency in currencies)]
    if total.carbon_g is not None:
        columns.append(
            ("CO2e g, estimated", lambda row: "" if row.carbon_g is None else _figure(row.carbon_g, 1))
        )
    if currencies and total.unpriced_device_s:
        columns.append(("unpriced device-hours", lambda row: _hours(row.unpriced_device_s)))
    return AccountingTable(
        headers=[*by, *(header for header, _ in columns)],
        rows=[
            [*(row.keys[name] for name in by), *(format_cell(row) for _, format_cell in columns)]
            for row in rows
        ],
        num_value_columns=len(columns),
    )


def csv_rows(table: AccountingTable) -> Iterable[list[str]]:
    """The rows of the table, with formulas in name columns escaped."""
    num_names = len(table.headers) - table.num_value_columns
    for row in table.rows:
        yield [*(escape_formula(text) for text in row[:num_names]), *row[num_names:]]


def escape_formula(text: str) -> str:
    """Prefix an apostrophe to a text that a spreadsheet would run as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _figure(value: float, digits: int) -> str:
    """`value` with `digits` decimals; smaller values with three significant digits, so that no use reads 0.00."""
    return f"{value:.{digits}f}" if not value or abs(value) >= 10**-digits else f"{value:.3g}"


def _hours(seconds: float) -> str:
    return _figure(seconds / 3600, 2)


def _measured(value: float | None, size: float, digits: int) -> str:
    return NOT_MEASURED if value is None else _figure(value / size, digits)


def _share(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f}"


def _money(currency: str) -> Callable[[UsageRow], str]:
    return lambda row: _figure(row.money[currency], 2) if currency in row.money else ""


COLUMNS: tuple[tuple[str, Callable[[UsageRow], str]], ...] = (
    ("attempts", lambda row: str(row.attempts)),
    ("device-hours", lambda row: _hours(row.device_s)),
    ("wasted device-hours", lambda row: _hours(row.wasted_device_s)),
    ("wasted %", lambda row: _share(row.wasted_share)),
    ("unused device-hours", lambda row: _measured(row.unused_device_s, 3600, 2)),
    ("use measured %", lambda row: _share(row.use_share)),
    ("energy kWh", lambda row: _measured(row.energy_j, J_PER_KWH, 3)),
    ("energy measured %", lambda row: _share(row.energy_share)),
)
