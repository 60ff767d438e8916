"""`manage.py checkpoint list RUN` and `checkpoint export RUN DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from engine.checkpoints.folder import ResumeError
from engine.checkpoints.huggingface.architectures import ArchitectureError
from engine.checkpoints.huggingface.export import export
from jobs.attempts import checkpoints
from jobs.models import Checkpoint, Run


class Command(BaseCommand):
    help = "List a run's checkpoints, or export one as a folder for Hugging Face transformers."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="verb", required=True)
        listing = commands.add_parser("list", help="list the checkpoints of a run")
        listing.add_argument("run", help="the run's id")
        exporting = commands.add_parser("export", help="config.json, tokenizer.json and model.safetensors")
        exporting.add_argument("run", help="the run's id")
        exporting.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
        which = exporting.add_mutually_exclusive_group()
        which.add_argument("--step", type=int, help="step of the checkpoint (default: the newest)")
        which.add_argument(
            "--best", action="store_true", help="the checkpoint with the lowest validation loss"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        run = Run.objects.filter(id=options["run"]).first()
        if run is None:
            raise CommandError(f"Run '{options['run']}' does not exist.")
        if options["verb"] == "list":
            for row in checkpoints.list_checkpoints(run):
                loss = "" if row.validation_loss is None else f"  validation loss {row.validation_loss:.4g}"
                self.stdout.write(f"{row.step}  {row.path}{loss}")
        else:
            self._export(run, self._chosen(run, options), options["folder"])

    def _chosen(self, run: Run, options: dict[str, Any]) -> Checkpoint:
        if options["best"]:
            row = checkpoints.best(run)
        else:
            step = options["step"]
            row = checkpoints.newest(run) if step is None else checkpoints.at_step(run, step)
        if row is None:
            steps = ", ".join(str(one.step) for one in checkpoints.list_checkpoints(run)) or "none"
            raise CommandError(f"Run {run.id} does not have that checkpoint; it has steps: {steps}.")
        return row

    def _export(self, run: Run, row: Checkpoint, folder: Path) -> None:
        path = checkpoints.get_local_path(row)
        if path is None:
            raise CommandError(
                f"The checkpoint is on node {row.attempt.node.name}, in {row.path}; export it there."
            )
        if folder.exists() and any(folder.iterdir()):
            raise CommandError(f"{folder} is not empty; name a new folder.")
        try:
            family = export(path, folder)
        except (ArchitectureError, ResumeError, OSError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"Run {run.id}, step {row.step}, is exported to {folder} in the layout of {family.title}."
        )
