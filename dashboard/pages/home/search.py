"""Search over everything that the caller may see, with a bound on what is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Model, Q, QuerySet
from django.urls import reverse

from dashboard.access import Scope
from engine.telemetry.metrics import METRICS
from jobs import runs
from jobs.models import Dataset, Job, Node, Project, Report, Run, RunMetric, SavedView, Sweep, Template
from jobs.states.jobs import FINAL

SHOWN = 6  # results of a kind
WORDS, TEXT_CHARS = 5, 100
RUNS_READ = 50_000  # the newest runs and jobs
METRIC_RUNS, METRICS_READ = 200, 20_000  # names are those of the newest runs


class SearchHit(NamedTuple):
    title: str
    address: str
    detail: str = ""
    state: str = ""  # of a run or job


@dataclass
class SearchGroup:
    """The hits of one kind. `more`: address of the list of all of them."""

    title: str
    icon: str
    hits: list[SearchHit] = field(default_factory=list)
    more: str = ""


class ExtraPage(NamedTuple):
    """A page that is not in the navigation bar."""

    title: str
    route: str
    needs: str = ""  # "admin", "member"


EXTRA_PAGES = (
    ExtraPage("New job", "submit", "member"),
    ExtraPage("Upload data", "data-upload", "member"),
    ExtraPage("People and teams", "admin:index", "admin"),
)


def search(scope: Scope, text: str) -> list[SearchGroup]:
    """Groups with hits, each at most SHOWN. Every word has to be found; an id by its start. At most 12 queries."""
    words = text[:TEXT_CHARS].split()[:WORDS]
    if not words:
        return []
    jobs = _find_jobs(scope, words)
    groups = [
        SearchGroup("Pages", "table", _limit(_find_pages(scope, words))),
        jobs,
        _find_runs(scope, words, {hit.address for hit in jobs.hits}),
        SearchGroup("Projects", "archive", _find_named(scope, Project, words, _of_project)),
        SearchGroup("Metrics", "graph-down", _find_metrics(scope, words)),
        SearchGroup("Nodes", "cpu", _find_nodes(words)),
        SearchGroup("Reports", "files", _find_named(scope, Report, words, _of_report, "title")),
        SearchGroup("Sweeps", "grid-3x3-gap", _find_named(scope, Sweep, words, _of_sweep)),
        SearchGroup("Data", "collection", _find_named(scope, Dataset, words, _of_dataset)),
        SearchGroup("Templates", "files", _find_named(scope, Template, words, _of_template)),
        SearchGroup("Saved views", "bookmark-check", _find_named(scope, SavedView, words, _of_view)),
    ]
    return [group for group in groups if group.hits]


def _find_pages(scope: Scope, words: list[str]) -> Iterator[SearchHit]:
    urls = import_module(settings.ROOT_URLCONF)
    pages = [(item.title, item.route) for item in urls.NAVIGATION]
    rights = {"": True, "admin": scope.is_admin, "member": bool(scope.member_team_ids)}
    pages += [(page.title, page.route) for page in EXTRA_PAGES if rights[page.needs]]
    for title, route in pages:
        if _has_all(title, words):
            yield SearchHit(title, reverse(route))


def _find_jobs(scope: Scope, words: list[str]) -> SearchGroup:
    """Jobs that are not over, and a job by its id; ended ones are found as runs."""
    newest = scope.seen(Job).order_by("-submitted_at").values("id")[:RUNS_READ]
    found = _with_words(Job.objects.filter(id__in=newest), words, "name", ("id",))
    found = found.filter(~Q(state__in=FINAL) | Q(id__startswith=words[0]))
    rows = found.order_by("-submitted_at").values_list("name", "id", "state", "run__id", "pool__name")[:SHOWN]
    hits = [
        SearchHit(name, reverse("run", args=[run_id]), f"{job_id} · pool {pool}", state)
        for name, job_id, state, run_id, pool in rows
        if run_id
    ]
    return SearchGroup("Jobs", "list-task", hits, f"{reverse('jobs')}?{urlencode({'q': ' '.join(words)})}")


def _find_runs(scope: Scope, words: list[str], shown: set[str]) -> SearchGroup:
    newest = scope.seen(Run).order_by("-created_at").values("id")[:RUNS_READ]
    found = _with_words(Run.objects.filter(id__in=newest), words, "name", ("id", "external_id"))
    rows = found.order_by("-created_at").values_list(
        "name", "id", "state", "job__state", "project__name", "owner__username", "archived_at"
    )[: SHOWN + len(shown)]
    hits = []
    for name, run_id, state, job_state, project, owner, archived in rows:
        detail = " · ".join(filter(None, (run_id, project, owner, "archived" if archived else "")))
        hits.append(SearchHit(name, reverse("run", args=[run_id]), detail, job_state or state))
    hits = [hit for hit in hits if hit.address not in shown][:SHOWN]
    query = " ".join(runs.quoted(word) for word in words)
    return SearchGroup("Runs", "graph-down", hits, f"{reverse('runs')}?{urlencode({'filter': query})}")


def _find_metrics(scope: Scope, words: list[str]) -> list[SearchHit]:
    newest = scope.seen(Run).order_by("-created_at").values("id")[:METRIC_RUNS]
    some = RunMetric.objects.filter(run__in=newest).order_by().values("id")[:METRICS_READ]
    rows = RunMetric.objects.filter(id__in=some)
    for word in words:
        rows = rows.filter(key__icontains=word)
    keys = list(rows.order_by("key").values_list("key", flat=True).distinct()[:SHOWN])
    known = [one.name for one in METRICS if one.scope == "run" and _has_all(f"{one.name} {one.label}", words)]
    return [_of_metric(key) for key in list(dict.fromkeys([*keys, *known]))[:SHOWN]]


def _find_nodes(words: list[str]) -> list[SearchHit]:
    found = _with_words(Node.objects.all(), words, "name", ("id",))
    rows = found.order_by("name").values_list("id", "name", "pool__name")[:SHOWN]
    return [SearchHit(name, reverse("node", args=[one]), f"pool {pool}") for one, name, pool in rows]


def _find_named(
    scope: Scope, model: type[Model], words: list[str], hit_of: Callable[[Any], SearchHit], name: str = "name"
) -> list[SearchHit]:
    rows = _with_words(scope.seen(model), words, name, ()).order_by(name)
    return [hit_of(row) for row in rows.select_related("team")[:SHOWN]]


def _of_project(row: Project) -> SearchHit:
    return SearchHit(
        row.name, reverse("project", args=[row.id]), "archived" if row.archived_at else row.team.name
    )


def _of_report(row: Report) -> SearchHit:
    return SearchHit(row.title, reverse("report", args=[row.id]), row.team.name)


def _of_sweep(row: Sweep) -> SearchHit:
    return SearchHit(row.name, reverse("sweep", args=[row.id]), row.team.name)


def _of_dataset(row: Dataset) -> SearchHit:
    return SearchHit(row.name, reverse("dataset", args=[row.id]), row.team.name)


def _of_template(row: Template) -> SearchHit:
    return SearchHit(row.name, f"{reverse('submit')}?from=template:{row.id}", row.team.name)


def _of_view(row: SavedView) -> SearchHit:
    return SearchHit(row.name, reverse("saved-view", args=[row.id]), row.get_page_display())


def _of_metric(key: str) -> SearchHit:
    """The run table, ordered by this metric."""
    metric = str(runs.Field("metric", key, "last"))
    query = urlencode({"sort": f"-{metric}", "col": ["state", metric, "owner", "created"]}, doseq=True)
    return SearchHit(key, f"{reverse('runs')}?{query}", "runs by this metric")


def _with_words(rows: QuerySet[Any], words: Iterable[str], name: str, ids: tuple[str, ...]) -> QuerySet[Any]:
    for word in words:
        found = Q(**{f"{name}__icontains": word})
        for one in ids:
            found |= Q(**{f"{one}__startswith": word})
        rows = rows.filter(found)
    return rows


def _has_all(title: str, words: Iterable[str]) -> bool:
    return all(word.lower() in title.lower() for word in words)


def _limit(hits: Iterable[SearchHit]) -> list[SearchHit]:
    return [hit for hit, _ in zip(hits, range(SHOWN), strict=False)]
