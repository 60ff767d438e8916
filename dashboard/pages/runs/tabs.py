"""Tabs of the run page, with the context of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from dashboard.access import get_scope
from dashboard.charts import panels, run_labels
from dashboard.pages.planning import accuracy
from dashboard.pages.pools import fabric
from dashboard.pages.runs import (
    about_views,
    attempts,
    comment_views,
    external,
    history,
    ledger_panel,
    start_panel,
    trace_views,
    verdict_panel,
)
from dashboard.pages.submit import origins
from dashboard.server.requests import UserRequest
from engine.spec.spec import SpecError, parse, to_yaml
from engine.telemetry.metrics import STEP_PHASES
from jobs import series
from jobs.attempts.outputs import get_output_histories
from jobs.models import Run
from jobs.states.jobs import FINAL

Context = dict[str, Any]
MAIN_PANELS = 4  # charts of the overview; the others are one click away
PARAMS_LISTED = 5000


class Tab(NamedTuple):
    """A tab of the run page. Its name is in the address and in that of its template."""

    name: str
    title: str
    build_context: Callable[[UserRequest, Run], Context]
    route: str

    @property
    def template(self) -> str:
        return f"runs/tabs/{self.name}.html"


def _build_overview(request: UserRequest, run: Run) -> Context:
    scope = get_scope(request)
    found = _build_charts(request, run)
    sections = [row for _, row in found["sections"]]
    return {
        **found,
        "main_panels": _choose_main_panels(sections, is_job=run.job is not None),
        "num_panels": sum(map(len, sections)),
        **history.build_context(run, scope),
        **external.build_uploads(run),
        **verdict_panel.build_context(run, scope),
        **about_views.build_context(request, run),
        **comment_views.build_context(request, run),
    }


def _choose_main_panels(
    sections: Sequence[Sequence[panels.PanelState]], *, is_job: bool
) -> list[panels.PanelState]:
    """Return the charts of the overview: the first of each section for a job, the first ones for a logged run."""
    shown = [[one for one in row if one.state == "loading"] or list(row) for row in sections]
    return [one for row in shown for one in row[: 1 if is_job else None]][:MAIN_PANELS]


def _build_charts(request: UserRequest, run: Run) -> Context:
    """Sections of panels with the names of what they draw."""
    recorded = series.names(run.id)
    measured = {name.metric for name in recorded}
    is_over = run.job is not None and run.job.state in FINAL
    records = history.build_attempts(run, get_scope(request))
    newest = records[0].attempt if records else None
    context: Context = (
        {"sections": panels.build_panel_states(run.missing, measured, is_over=is_over)}
        if run.job
        else external.build_sections(run, measured, request.GET)
    )
    names = _build_chart_names(run, history.build_placement(newest) if newest else [])
    context |= {
        "sources": _list_sources(recorded),
        "outputs": get_output_histories(run) if run.job else [],
        "names": names | {"attempts": attempts.build_boundary_labels(map(attempts.AttemptCard, records))},
    }
    if fabric.is_fabric_test(run):
        context |= fabric.build_context(run) | {"sections": fabric.device_sections(context["sections"])}
    return context


def _build_performance(request: UserRequest, run: Run) -> Context:
    predicted = accuracy.format_run_forecasts(run)
    return {
        **ledger_panel.build_context(run),
        **trace_views.build_context(request, run),
        "predicted": predicted,
        "was_contended": any(one["row"].is_contended for one in predicted),
        "fabric": fabric.is_fabric_test(run),
    }


def _build_logs(request: UserRequest, run: Run) -> Context:
    return {
        "ranks": range(run.job.num_devices if run.job else 0),
        "attempt_numbers": range(run.job.attempt_number if run.job else 0, 0, -1),
    }


def _build_files(request: UserRequest, run: Run) -> Context:
    return history.build_files(run, get_scope(request)) | external.build_uploads(run)


def _build_spec(request: UserRequest, run: Run) -> Context:
    origin = origins.get_job_origin(get_scope(request), run.job) if run.job else None
    params = list(run.params.order_by("key")[: PARAMS_LISTED + 1])
    return {
        "spec_yaml": _spec_yaml(run),
        "epochs": start_panel.find_run_epochs(run),
        "differences": origins.find_differences(origin.values, run.spec) if origin else [],
        "params": params[:PARAMS_LISTED],
        "num_params": run.params.count() if len(params) > PARAMS_LISTED else len(params),
    }


def _list_sources(recorded: Iterable[series.SeriesName]) -> list[tuple[str, str]]:
    """Return the ranks that reported step phases, with the titles of their options."""
    ranks = {name.source.removeprefix("rank") for name in recorded if name.metric in STEP_PHASES}
    return [(f"rank{rank}", f"rank {rank}") for rank in sorted(ranks, key=lambda rank: (len(rank), rank))]


def _spec_yaml(run: Run) -> str:
    """Return the spec as YAML; empty for a logged run without a spec of ours."""
    try:
        return to_yaml(parse(run.spec)) if run.spec else ""
    except SpecError:
        return ""


def _build_chart_names(run: Run, placement: Sequence[history.RankPlacement]) -> Context:
    """Return the names of runs and devices in charts. Devices of one type are shown by their number only."""
    found = [rank.device for rank in placement if rank.device]
    is_one_type = len({device.name for device in found}) == 1
    devices = {device.id: f"#{device.index}" if is_one_type else str(device) for device in found}
    if run.job is None:
        devices = external.build_device_names(run)
    return {"runs": run_labels.label_runs([run]), "devices": devices}


TABS = {
    tab.name: tab
    for tab in (
        Tab("overview", "Overview", _build_overview, "run"),
        Tab("charts", "Charts", _build_charts, "run-charts"),
        Tab("performance", "Performance", _build_performance, "run-performance"),
        Tab("logs", "Logs", _build_logs, "run-logs"),
        Tab("files", "Files", _build_files, "run-files"),
        Tab("spec", "Spec", _build_spec, "run-spec"),
    )
}
