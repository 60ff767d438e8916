"""Comparison of checkpoint rows with the disk of a node, repeated by its agent.

What is not seen is marked, and unmarked when it is seen again. Where a whole root is away (home moved, mount missing),
nothing is marked and the node says so. A checkpoint without a row (database older than the disk, or a node that died
before its spool was read) gets one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from engine.checkpoints.folder import MANIFEST
from engine.directory import AttemptDirectory
from jobs.attempts import checkpoints
from jobs.models import Attempt, Checkpoint, Event, Node, NodeEvent
from jobs.nodes import folders
from jobs.states.jobs import ATTEMPT_LIVE

PRUNED_AFTER = timedelta(days=1)  # a shared checkpoint that has not been seen for so long is not looked for


def observe(node: Node, node_dir: Path) -> None:
    """Compare the rows of this node's checkpoints with its disk and with the shared root."""
    facts = node.facts | folders.list_facts(node_dir, node.facts)
    if facts != node.facts:
        Node.objects.filter(id=node.id).update(facts=facts)
        node.facts = facts
    problems = [_observe_local(node, node_dir), _observe_shared(node)]
    _report(node, " ".join(problem for problem in problems if problem)[:300])


def register_missing(job_id: str, before: int, node: Node, node_dir: Path) -> None:
    """Register checkpoints without a row, here or in the shared root, of a job's attempts before number `before`.

    Called before the job's next attempt starts, so that it continues from what is really there.
    """
    root = settings.CHECKPOINT_ROOT
    for attempt in _ended_attempts().filter(job_id=job_id, number__lt=before).exclude(directory=""):
        name = f"{attempt.job_id}-{attempt.number}"
        if attempt.node_id == node.id:
            _register(attempt, _complete(node_dir / attempt.directory / "checkpoints"), node_dir)
        if root:
            _register(attempt, _complete(Path(root) / name), node_dir)


def _observe_local(node: Node, node_dir: Path) -> str:
    """Returns what is wrong with the node's folder; '' if nothing is."""
    rows = list(_rows(node, is_shared=False))
    home = node_dir / folders.ATTEMPTS
    try:
        names = sorted(path.name for path in home.iterdir())
    except OSError:
        names = []
    if not names and any(gone_at is None for _, _, gone_at, _ in rows):
        return (
            f"The folder {home} is missing or empty, although checkpoints are known to lie there. "
            "Nothing is marked as lost; jobs that continue from them wait."
        )
    seen: dict[str, Path] = {}
    for name in names:
        folder = home / name / "checkpoints"
        if not folder.is_symlink():
            seen |= {f"{folders.ATTEMPTS}/{name}/checkpoints/{path.name}": path for path in _complete(folder)}
    for _, path, _, _ in rows:
        if path not in seen and (node_dir / path / MANIFEST).is_file():  # rows with a path of another form
            seen[path] = node_dir / path
    _mark(rows, seen)
    known = {path for _, path, _, _ in rows}
    _register_new(node, {path: place for path, place in seen.items() if path not in known}, node_dir)
    return ""


def _observe_shared(node: Node) -> str:
    """Returns what is wrong with the shared root; '' if nothing is, or if none is set."""
    root, root_id = settings.CHECKPOINT_ROOT, node.facts.get(folders.ROOT_NOW) or ""
    if not root:
        return ""
    if not root_id:
        return (
            f"The shared checkpoint folder {root} is away: it does not hold the file {folders.ROOT_ID} that this node "
            "saw there before, or cannot be written. Nothing is marked as lost."
        )
    rows = [row for row in _rows(node, is_shared=True) if row[3] in ("", root_id)]
    seen = {path: Path(root) / path for _, path, _, _ in rows if (Path(root) / path / MANIFEST).is_file()}
    _mark(rows, seen)
    unnamed = [pk for pk, path, _, known in rows if not known and path in seen]
    if unnamed:
        Checkpoint.objects.filter(id__in=unnamed).update(root_id=root_id)
    return ""


def _rows(node: Node, is_shared: bool) -> Any:
    found = Checkpoint.objects.filter(attempt__node=node, is_shared=is_shared).order_by()
    if is_shared:
        # Each is looked up by itself. What has not been seen for long was pruned.
        found = found.exclude(gone_at__lt=timezone.now() - PRUNED_AFTER)
    return found.values_list("id", "path", "gone_at", "root_id")


def _mark(rows: Iterable[Any], seen: Mapping[str, Path]) -> None:
    gone = [pk for pk, path, gone_at, _ in rows if gone_at is None and path not in seen]
    back = [pk for pk, path, gone_at, _ in rows if gone_at is not None and path in seen]
    if gone:
        Checkpoint.objects.filter(id__in=gone).update(gone_at=timezone.now())
    if back:
        Checkpoint.objects.filter(id__in=back).update(gone_at=None)


def _complete(folder: Path) -> Iterator[Path]:
    """Yield the complete checkpoints in a folder."""
    for manifest in sorted(folder.glob(f"step-*/{MANIFEST}")):
        yield manifest.parent


def _register_new(node: Node, found: Mapping[str, Path], node_dir: Path) -> None:
    by_attempt: dict[tuple[str, str], list[Path]] = {}
    for path in found.values():
        job, _, number = path.parents[1].name.rpartition("-")
        by_attempt.setdefault((job, number), []).append(path)
    for (job, number), paths in by_attempt.items():
        if number.isdecimal():
            attempt = _ended_attempts().filter(node=node, job_id=job, number=int(number)).first()
            if attempt is not None:
                _register(attempt, paths, node_dir)


def _ended_attempts() -> Any:
    """Return attempts that have ended. Those that live report their checkpoints themselves."""
    return Attempt.objects.exclude(state__in=ATTEMPT_LIVE).select_related("job__run", "node")


def _register(attempt: Attempt, paths: Iterable[Path], node_dir: Path) -> None:
    place = checkpoints.place_of(attempt, AttemptDirectory(node_dir / attempt.directory))
    for path in paths:
        if settings.CHECKPOINT_ROOT and path.is_relative_to(settings.CHECKPOINT_ROOT):
            place = {"path": path.parent.name, "is_shared": True, "root_id": folders.read_root_id()}
        row = checkpoints.register(attempt, path, place)
        if row is not None:
            text = f"Checkpoint at step {row.step} found on the disk of node {attempt.node.name}."
            Event.objects.create(
                job_id=attempt.job_id, attempt_number=attempt.number, actor=f"agent:{attempt.node.name}",
                kind="checkpoint", text=text,
            )  # fmt: skip


def _report(node: Node, problem: str) -> None:
    """Record a change of the node's storage problem, with an event."""
    if problem == node.storage_problem:
        return
    rows = Node.objects.filter(id=node.id).exclude(storage_problem=problem)
    if rows.update(storage_problem=problem):
        text = problem or "The folders of attempts and checkpoints are there again."
        kind = "node.storage" if problem else "node.storage ok"
        NodeEvent.objects.create(node=node, actor=f"agent:{node.name}", kind=kind, text=text)
    node.storage_problem = problem
