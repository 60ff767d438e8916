"""Where a job's weights come from (`start_from`): found, checked against its spec, and put where its ranks read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from engine.checkpoints.folder import ResumeError, read_manifest
from engine.checkpoints.start import Origin, open_start
from engine.spec.problems import Problem, SpecError
from engine.spec.spec import Spec, parse
from jobs.attempts import checkpoints
from jobs.ids import ALPHABET
from jobs.models import Checkpoint, Job, Node, Pool, Run, Team
from jobs.states.jobs import StateError

FORMS = "a run's id, run@step, run@best, or the name of a Hugging Face folder inside the data folder"


@dataclass(frozen=True)
class Found:
    """What `start_from` means: a checkpoint, or else a folder."""

    text: str  # with the step, whatever was typed
    checkpoint: Checkpoint | None = None
    folder: Path | None = None


def find(spec: Spec, team: Team, pool: Pool | None) -> Found | None:
    """None where a spec starts from nothing. Raises SpecError with what stands against it."""
    if not spec.start_from:
        return None
    run = _run(spec.start_from, team)
    if run is None:
        return Found(spec.start_from, folder=_folder(spec))
    checkpoint = _checkpoint(run, spec.start_from.partition("@")[2])
    problems = [*Origin.of_spec(title_of(checkpoint), parse(run.spec)).problems(spec)]
    problems += _out_of_reach(checkpoint, pool) + _unreadable(checkpoint)
    if problems:
        raise SpecError(problems)
    return Found(f"{run.id}@{checkpoint.step}", checkpoint)


def problems(spec: Spec, team: Team, pool: Pool | None) -> tuple[Problem, ...]:
    try:
        find(spec, team, pool)
    except SpecError as error:
        return error.problems
    return ()


def title_of(checkpoint: Checkpoint) -> str:
    return f"run {checkpoint.run.name} ({checkpoint.run_id}) at step {checkpoint.step}"


def hold(job: Job) -> None:
    """Keep what a new job starts from until it has ended. Raises SpecError where it has just gone."""
    try:
        checkpoints.hold(job)
    except (ResumeError, OSError) as error:
        raise SpecError([Problem("start_from", f"{error}")]) from None


def refuse_gone(job: Job) -> None:
    """Raises StateError if a job must begin with weights that nobody has any more."""
    start = job.start_checkpoint
    if (
        start is not None
        and start.gone_at
        and not Checkpoint.objects.filter(run__job=job, gone_at=None).exists()
    ):
        raise StateError(
            f"Job {job.id} would start from {title_of(start)}, and that checkpoint has been deleted."
        )


def path_of(job: Job) -> Path | None:
    """Where the ranks of a job read their first weights; None: they begin with new ones."""
    if job.start_checkpoint is not None:
        return Path(job.start_checkpoint.path)
    text = str(job.spec.get("start_from", ""))
    return Path(settings.CORPUS_ROOT) / text if text else None


def titled(job: Job) -> str:
    """What people call it."""
    return title_of(job.start_checkpoint) if job.start_checkpoint else str(job.spec.get("start_from", ""))


def _run(text: str, team: Team) -> Run | None:
    """Raises SpecError where a run is meant and the team has none of that id."""
    name, at, _ = text.partition("@")
    run = Run.objects.filter(id=name, team=team).first()
    if run is None and (at or (len(name) == 12 and set(name) <= set(ALPHABET))):
        raise SpecError([Problem("start_from", f"Team {team.name} has no run '{name}'. Say {FORMS}.")])
    return run


def _checkpoint(run: Run, which: str) -> Checkpoint:
    found = {"": checkpoints.newest, "best": checkpoints.best}.get(which)
    step = int(which) if which.isascii() and which.isdigit() and len(which) < 10 else None
    row = found(run) if found else checkpoints.at_step(run, step) if step is not None else None
    if row is not None:
        return row
    steps = sorted({str(one.step) for one in checkpoints.list_checkpoints(run)[:50]}, key=int)
    if not steps:
        raise SpecError([Problem("start_from", f"Run {run.name} ({run.id}) has no checkpoint any more.")])
    said = f"Run {run.name} ({run.id}) has no checkpoint '{which}'; there are steps {', '.join(steps)}."
    raise SpecError([Problem("start_from", said, {"start_from": f"{run.id}@{steps[-1]}"})])


def _folder(spec: Spec) -> Path:
    root = Path(settings.CORPUS_ROOT)
    path = (root / spec.start_from).resolve()
    if not path.is_relative_to(root) or not path.is_dir():
        said = f"'{spec.start_from}' is neither a run of this team nor a folder inside the data folder. Say {FORMS}."
        raise SpecError([Problem("start_from", said)])
    open_start(path, f"the folder {spec.start_from}").refuse_misfit(spec)
    return path


def _out_of_reach(checkpoint: Checkpoint, pool: Pool | None) -> list[Problem]:
    """What lies on one node can be read by jobs of that node alone."""
    if checkpoint.is_shared or pool is None:
        return []
    home = checkpoint.attempt.node
    others = (
        Node.objects.filter(pool=pool).exclude(id=home.id).order_by("name").values_list("name", flat=True)
    )
    if home.pool_id == pool.id and not others:
        return []
    where = (
        f"pool '{pool.name}' has {', '.join(others[:5])} too"
        if home.pool_id == pool.id
        else "that is another pool"
    )
    said = (
        f"The checkpoint of {title_of(checkpoint)} lies on node {home.name}, and {where}. With a folder that all nodes "
        "share (FOURWALLS_CHECKPOINT_ROOT) any of them could read it."
    )
    return [Problem("start_from", said)]


def _unreadable(checkpoint: Checkpoint) -> list[Problem]:
    path = checkpoints.get_local_path(checkpoint)
    if path is None:
        return []  # on another machine: its agent says so, if it must
    try:
        read_manifest(path)
    except ResumeError as error:
        return [Problem("start_from", str(error))]
    return []
