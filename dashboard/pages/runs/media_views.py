"""Parts of the run page for what scripts log: media, environment and output."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.files.media_files import MediaDownload
from dashboard.pages.runs import media_panel
from dashboard.server import replies
from dashboard.server.requests import UserRequest
from jobs.models import Run, RunEnvironment
from jobs.tracking import artefacts, console

CONSOLE_LINES = 2_000
FACT_TITLES = {
    "command": "Command",
    "folder": "Folder",
    "script": "Script",
    "host": "Host",
    "user": "User",
    "python": "Python",
    "system": "System",
    "git_commit": "Git commit",
    "git_branch": "Git branch",
    "git_state": "Working tree",
    "git_untracked": "Untracked files",
    "git_remote": "Git remote",
    "interpreter": "Interpreter",
}


@require_safe
def media(request: UserRequest, run_id: str) -> HttpResponse:
    """Show the media section; `find` is part of a name, `all` shows every name."""
    run = get_scope(request).get(Run, run_id)
    text = request.GET.get("find", "")[:200]
    context = media_panel.build_context(run, text, shows_all="all" in request.GET)
    return render(request, "runs/_media.html", context)


@require_safe
def entry(request: UserRequest, run_id: str) -> HttpResponse:
    """Show the media of one name at one of its steps."""
    run = get_scope(request).get(Run, run_id)
    key, source, kind, index = (request.GET.get(name, "") for name in ("key", "source", "kind", "index"))
    shown = media_panel.find_shown(run, key, source or "run", kind, index)
    if shown is None:
        raise Http404
    return render(request, "runs/_media_items.html", {"run": run, "shown": shown})


@require_safe
@xframe_options_sameorigin
def file(request: UserRequest, run_id: str, artefact_id: str) -> HttpResponseBase:
    """Send one file for display."""
    found = get_scope(request).get(Run, run_id).artefacts.filter(id=artefact_id).first()
    if found is None:
        raise Http404
    try:
        path = artefacts.find_file(found)
    except artefacts.ArtefactMissing as error:
        return replies.text_reply(str(error), 410)
    return MediaDownload(path, found.path.rpartition("/")[2], found.size_bytes)


@require_safe
def environment(request: UserRequest, run_id: str) -> HttpResponse:
    """Show what the run was started with."""
    run = get_scope(request).get(Run, run_id)
    found = RunEnvironment.objects.filter(run=run).first()
    facts = found.facts if found else {}
    rows = [(title, facts[name]) for name, title in FACT_TITLES.items() if facts.get(name)]
    rows += [(name, value) for name, value in sorted(facts.items()) if name not in FACT_TITLES]
    files = run.artefacts.filter(path__in=["code/diff.patch", "code/requirements.txt"])
    packages = found.packages if found else []
    context = {"run": run, "facts": rows, "packages": packages, "files": files}
    context["packages_text"] = "\n".join(packages)
    return render(request, "runs/_environment.html", context)


@require_safe
def output(request: UserRequest, run_id: str) -> HttpResponse:
    """Show the last lines that the script printed."""
    run = get_scope(request).get(Run, run_id)
    tail = console.read_tail(run, request.GET.get("source", "")[:80], CONSOLE_LINES)
    return render(request, "runs/_console.html", {"run": run, "tail": tail, "text": "\n".join(tail.lines)})
