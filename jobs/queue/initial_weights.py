"""Initial weights of a job (`start_from`): lookup, checks and path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from engine.checkpoints.folder import ResumeError, read_manifest
from engine.checkpoints.initial_weights import WeightsOrigin, open_initial_weights
from engine.spec.problems import Problem, SpecError
from engine.spec.spec import Spec, parse
from jobs.attempts import checkpoints, locations
from jobs.ids import ALPHABET
from jobs.models import Checkpoint, Job, Run, Team
from jobs.states.jobs import StateError

ACCEPTED_FORMS = "a run's id, run@step, run@best, or the name of a Hugging Face folder in the data folder"


@dataclass(frozen=True)
class StartWeights:
    """The meaning of `start_from`: a checkpoint, or else a folder."""

    text: str  # names the step, even if the spec does not
    checkpoint: Checkpoint | None = None
    folder: Path | None = None


def find(spec: Spec, team: Team) -> StartWeights | None:
    """Find the weights that a spec starts from; None for new ones. Raises SpecError with every problem."""
    if not spec.start_from:
        return None
    run = _find_run(spec.start_from, team)
    if run is None:
        return StartWeights(spec.start_from, folder=_find_folder(spec))
    checkpoint = _find_checkpoint(run, spec.start_from.partition("@")[2])
    problems = [*WeightsOrigin.from_spec(checkpoint_title(checkpoint), parse(run.spec)).problems(spec)]
    problems += _reach_problems(checkpoint) + _manifest_problems(checkpoint)
    if problems:
        raise SpecError(problems)
    return StartWeights(f"{run.id}@{checkpoint.step}", checkpoint)


def problems(spec: Spec, team: Team) -> tuple[Problem, ...]:
    try:
        find(spec, team)
    except SpecError as error:
        return error.problems
    return ()


def checkpoint_title(checkpoint: Checkpoint) -> str:
    return f"run {checkpoint.run.name} ({checkpoint.run_id}) at step {checkpoint.step}"


def hold_checkpoint(job: Job) -> None:
    """Protect the checkpoint of a new job from deletion until the job ends. Raises SpecError if it is gone."""
    try:
        checkpoints.hold(job)
    except (ResumeError, OSError) as error:
        raise SpecError([Problem("start_from", f"{error}")]) from None


def refuse_deleted(job: Job) -> None:
    """Raise StateError if a job must start from a checkpoint whose files are missing now."""
    start = job.start_checkpoint
    if (
        start is not None
        and start.gone_at
        and not Checkpoint.objects.filter(run__job=job, gone_at=None).exists()
    ):
        raise StateError(
            f"Job {job.id} starts from {checkpoint_title(start)}, but the files of that checkpoint are missing since "
            f"{start.gone_at:%Y-%m-%d %H:%M} UTC."
        )


def folder_for_job(job: Job) -> Path | None:
    """Path of the folder with the job's initial weights; None if it starts from a checkpoint or from new ones."""
    text = str(job.spec.get("start_from", "")) if job.start_checkpoint is None else ""
    return Path(settings.CORPUS_ROOT) / text if text else None


def title_for_job(job: Job) -> str:
    """Title of the job's initial weights for people."""
    return (
        checkpoint_title(job.start_checkpoint)
        if job.start_checkpoint
        else str(job.spec.get("start_from", ""))
    )


def _find_run(text: str, team: Team) -> Run | None:
    """The run that `text` names; None if it names a folder. Raises SpecError if the team has no run of that id."""
    name, at, _ = text.partition("@")
    run = Run.objects.filter(id=name, team=team, deletion=None).first()
    if run is None and (at or (len(name) == 12 and set(name) <= set(ALPHABET))):
        raise SpecError(
            [Problem("start_from", f"Team {team.name} has no run '{name}'. Use {ACCEPTED_FORMS}.")]
        )
    return run


def _find_checkpoint(run: Run, which: str) -> Checkpoint:
    finder = {"": checkpoints.newest, "best": checkpoints.best}.get(which)
    step = int(which) if which.isascii() and which.isdigit() and len(which) < 10 else None
    row = finder(run) if finder else checkpoints.at_step(run, step) if step is not None else None
    if row is not None:
        return row
    steps = sorted({str(one.step) for one in checkpoints.list_checkpoints(run)[:50]}, key=int)
    if not steps:
        raise SpecError([Problem("start_from", f"Run {run.name} ({run.id}) has no checkpoint left.")])
    message = f"Run {run.name} ({run.id}) has no checkpoint '{which}'; it has steps {', '.join(steps)}."
    raise SpecError([Problem("start_from", message, {"start_from": f"{run.id}@{steps[-1]}"})])


def _find_folder(spec: Spec) -> Path:
    root = Path(settings.CORPUS_ROOT)
    path = (root / spec.start_from).resolve()
    if not path.is_relative_to(root) or not path.is_dir():
        message = f"'{spec.start_from}' is neither a run of this team nor a folder in the data folder."
        message += f" Use {ACCEPTED_FORMS}."
        raise SpecError([Problem("start_from", message)])
    open_initial_weights(path, f"the folder {spec.start_from}").refuse_misfit(spec)
    return path


def _reach_problems(checkpoint: Checkpoint) -> list[Problem]:
    """A checkpoint travels to the node of the job, unless no node that holds it can come back."""
    location = locations.locate_checkpoint(checkpoint)
    lost = [holder for holder in location.holders if holder.away == locations.RETIRED]
    if not location.holders or len(lost) < len(location.holders):
        return []
    message = (
        f"The checkpoint of {checkpoint_title(checkpoint)} is on node {lost[0].name}, which is retired, and nowhere "
        "else. Choose another checkpoint."
    )
    return [Problem("start_from", message)]


def _manifest_problems(checkpoint: Checkpoint) -> list[Problem]:
    path = checkpoints.get_local_path(checkpoint)
    if path is None:
        return []  # on another machine: its agent reports the problem
    try:
        read_manifest(path)
    except ResumeError as error:
        return [Problem("start_from", str(error))]
    return []
