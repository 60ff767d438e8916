"""HTML of table rows.

All values of runs are escaped. A template took 50 ms of CPU for 100 rows x 9 columns. With cells rendered here it took
32 ms, with whole rows less (tests/perf/test_run_table.py; 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator

from dashboard.html.markup import ago, icon, job_badge
from dashboard.pages.table.cells import Cell
from jobs import runs
from jobs.models import Run

LONG = 24  # characters; a longer text is truncated or repeated in the title
BEST = ' title="The best on this page"'
ROW = """
<tr id="run-{id}" data-run="{id}" class="{classes}"{writable}>
  <td class="tick-col"><input class="form-check-input" type="checkbox" name="run" value="{id}" aria-label="Select {name}"></td>
  <td class="run-name"><span class="run-line">
    <button type="button" class="dot" data-colour="{own_colour}" style="--stroke: {colour}" aria-label="Colour" tabindex="-1"></button>
    <a class="title" id="render_row-{id}" href="{address}">{name}</a>{chips}
    <span class="render_row-acts">
      <button type="button" class="btn-quiet" data-toggle="pin" aria-pressed="{is_pinned}" aria-label="Pin to the top" title="Pin (p)" tabindex="-1">{pin}</button>
      <button type="button" class="btn-quiet" data-toggle="hide" aria-pressed="{is_hidden}" aria-label="Hide in charts" title="Hide in charts (h)" tabindex="-1">{eye}</button>
    </span></span></td>
  {cells}
</tr>"""  # noqa: E501 - one element a line
TAG = (
    '<a class="chip is-tag" href="?filter={link}" data-soft data-narrow="{narrow}" data-tag="{key}" '
    'data-value="{value}" tabindex="-1">{key}{text}</a>'
)


class RowRenderer:
    """Renders the rows of one page; holds the parts that all rows share."""

    def __init__(self) -> None:
        self.address = reverse("runs")
        self.pin, self.eye, self.eye_slash = icon("pin-angle"), icon("eye"), icon("eye-slash")
        self.badges: dict[str, str] = {}

    def render_row(
        self,
        run: Run,
        colour: str,
        cells: Sequence[Cell],
        tags: Iterable[tuple[str, str]],
        *,
        num_children: int,
        is_pinned: bool,
        is_hidden: bool,
        may_write: bool,
    ) -> SafeString:
        return mark_safe(
            ROW.format(
                id=run.id,
                name=escape(run.name),
                classes=f"{'is-pinned ' if is_pinned else ''}{'is-hidden' if is_hidden else ''}",
                writable=" data-writable" if may_write else "",
                own_colour=escape(run.colour),
                colour=escape(colour),
                address=f"{self.address}{run.id}/",
                chips=self.render_chips(run, tags, num_children),
                is_pinned="true" if is_pinned else "false",
                is_hidden="true" if is_hidden else "false",
                pin=self.pin,
                eye=self.eye_slash if is_hidden else self.eye,
                cells="".join(map(self.render_cell, cells)),
            )
        )

    def render_chips(self, run: Run, tags: Iterable[tuple[str, str]], num_children: int) -> str:
        """Render the render_chips: archived, parent, children, tags."""
        found = '<span class="chip">archived</span>' if run.archived_at else ""
        if run.parent and run.parent.deletion_id is None:
            name = escape(run.parent.name)
            short = escape(Truncator(run.parent.name).chars(LONG))
            found += (
                f'<a class="chip" href="{self.address}{run.parent.id}/" title="Child of {name}" '
                f'tabindex="-1">↳ {short}</a>'
            )
        if num_children:
            found += (
                f'<a class="chip" href="?filter=parent:{run.id}" data-soft data-narrow="parent:{run.id}" '
                f'title="Child runs" tabindex="-1">{num_children} child run{"" if num_children == 1 else "s"}</a>'
            )
        return found + "".join(_render_tag(key, value) for key, value in tags)

    def render_cell(self, cell: Cell) -> str:
        label = f' data-label="{escape(cell.column.title)}"'
        if cell.kind == "state":
            return f"<td>{self.render_badge(cell.text)}</td>"
        if cell.kind == "time":
            return f'<td class="soft nowrap"{label}>{ago(cell.value)}</td>'
        text = escape(cell.text)
        if cell.kind == "number":
            css_class, title = (" is-best", BEST) if cell.is_best else ("", "")
            return f'<td class="right{css_class}"{label}{title}>{text}</td>'
        title = f' title="{text}"' if len(cell.text) > LONG else ""
        return f'<td class="soft"{label}{title}>{text}</td>'

    def render_badge(self, state: str) -> str:
        if state not in self.badges:
            self.badges[state] = job_badge(state) if state else '<span class="badge-state">logged</span>'
        return self.badges[state]


def _render_tag(key: str, value: str) -> str:
    narrow = f"tag:{runs.quoted(key)}"
    text = f"<i>{escape(Truncator(value).chars(LONG))}</i>" if value else ""
    return TAG.format(
        link=quote(narrow), narrow=escape(narrow), key=escape(key), value=escape(value), text=text
    )
