"""Stores written by the real clients, one folder each.

Run in an environment of the client: `python write_stores.py WRITER OUT`, with WRITER one of wandb, mlflow,
tensorboardX, torch and tensorboard. Values are drawn from the seed, times are those of the day. See make.sh.
"""

from __future__ import annotations

import math
import os
import random
import sys
import time
from pathlib import Path

SEED = 20261130


def loss_values(draw, count):
    return [round(5 * math.exp(-step / 10) + draw.random(), 6) for step in range(count)]


# W&B


def write_wandb(out):
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DISABLE_GIT": "true"}
    os.environ |= {"WANDB_ENTITY": "", "WANDB_CONSOLE": "off", "WANDB__DISABLE_STATS": "true"}
    os.environ |= {"WANDB_X_DISABLE_STATS": "true", "WANDB_DISABLE_CODE": "true"}
    for name in ("plain", "late", "resumed", "failed", "several"):
        folder = out / name
        folder.mkdir(parents=True)
        globals()[f"wandb_{name}"](folder, random.Random(f"{SEED} {name}"))


def wandb_init(folder, **options):
    import wandb

    return wandb.init(dir=str(folder), project="peers", mode="offline", **options)


def wandb_plain(folder, draw):
    run = wandb_init(
        folder,
        id="plain1",
        name="plain run",
        notes="A note.\nOf two lines.",
        tags=["baseline", "übermäßig"],
        group="seeds",
        job_type="train",
        config={
            "lr": 3e-4,
            "layers": 8,
            "opt": {"name": "adam", "betas": [0.9, 0.95]},
            "amp": True,
            "text": "a b",
        },
    )
    for step, value in enumerate(loss_values(draw, 30)):
        row = {"loss": value, "train/acc": step / 30, "ok": step % 2 == 0, "note": "text"}
        if step % 10 == 9:
            row["eval"] = {"loss": value + 1, "top": {"one": draw.random(), "five": draw.random()}}
        if step == 20:
            row |= {"odd": float("nan"), "far": float("inf"), "low": float("-inf")}
        run.log(row)
    run.finish()


def wandb_late(folder, draw):
    run = wandb_init(folder, id="late1", config={"at_init": 1})
    run.define_metric("epoch")
    run.define_metric("val/*", step_metric="epoch")
    run.define_metric("best", summary="min")
    run.config.update({"learning_rate": 5e-5, "model": {"depth": 4, "kind": "gpt"}})
    for step, value in enumerate(loss_values(draw, 12)):
        run.log({"loss": value, "best": value})
        if step % 4 == 3:
            run.log({"epoch": step // 4, "val/acc": draw.random()})
    run.config.late = "yes"
    run.config.update({"at_init": 2}, allow_val_change=True)
    run.summary["best_accuracy"] = 0.93
    run.summary["final"] = {"bleu": 27.5}
    run.summary["verdict"] = "good"
    run.finish()


def wandb_resumed(folder, draw):
    for part in range(2):
        run = wandb_init(folder, id="again1", resume="allow", config={"seed": 7})
        for step, value in enumerate(loss_values(draw, 20)[part * 10 :], part * 10):
            run.log({"loss": value}, step=step)
        run.finish()


def wandb_failed(folder, draw):
    import wandb

    run = wandb_init(folder, id="failed1")
    for step, value in enumerate(loss_values(draw, 15)):
        run.log({"loss": value}, commit=False)
        run.log(
            {"grad": value / 2, "hist": wandb.Histogram(np_histogram=([1, 2], [0.0, 1.0, value]))},
            step=step * 5,
        )
    run.finish(exit_code=3)


def wandb_several(folder, draw):
    for number in range(3):
        run = wandb_init(folder, id=f"one{number}", name="same name", config={"number": number})
        for value in loss_values(draw, 5 + number):
            run.log({"loss": value})
        run.finish()


# MLflow


def write_mlflow(out):
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    for kind in ("files", "sqlite"):
        for number in range(3):
            folder = out / f"{kind}{number}"
            folder.mkdir(parents=True)
            mlflow_store(kind, folder.resolve(), random.Random(f"{SEED} {kind} {number}"))


def mlflow_store(kind, folder, draw):
    import mlflow
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{folder}/mlflow.db" if kind == "sqlite" else f"file://{folder}/mlruns"
    client = MlflowClient(uri)
    default = client.create_experiment("first things", artifact_location=f"{folder}/artifacts")
    dropped = client.create_experiment("dropped", artifact_location=f"{folder}/artifacts")
    parents = []
    for number in range(4):
        tags = {"team": draw.choice(["blue", "rot/grün"]), "mlflow.note.content": f"Note {number}."}
        if parents and number % 2:
            tags["mlflow.parentRunId"] = parents[-1]
        run_id = mlflow_run(client, default if number < 3 else dropped, draw, tags)
        parents.append(run_id)
        killed = "FAILED" if mlflow.__version__ == "1.2.0" else "KILLED"  # its database refuses KILLED
        client.set_terminated(run_id, ["FINISHED", "FAILED", killed, "FINISHED"][number])
    running = mlflow_run(client, default, draw, {})
    client.delete_run(mlflow_run(client, default, draw, {"gone": "yes"}))
    client.log_metric(running, "loss", 1.0, timestamp=1700000999000, step=999)
    client.delete_experiment(dropped)


def mlflow_run(client, experiment, draw, tags):
    run_id = client.create_run(experiment, tags=tags).info.run_id
    for key in ("lr", "model/depth", "text"):
        client.log_param(run_id, key, draw.choice([0.001, 12, "a text with äöü", "None"]))
    for step, value in enumerate(loss_values(draw, draw.randrange(3, 9))):
        client.log_metric(run_id, "loss", value, timestamp=1700000000000 + 1000 * step, step=step)
        client.log_metric(run_id, "eval/top 1", value / 7, timestamp=1700000000500 + 1000 * step, step=-step)
    client.log_metric(run_id, "odd", float("nan"), timestamp=1700000001000, step=3)
    client.log_metric(run_id, "far", float("inf"), timestamp=1700000001000, step=3)
    for again in (2, 3):
        client.log_metric(run_id, "loss", draw.random(), timestamp=1700000100000 + again, step=again)
    for _ in range(3):
        client.log_metric(run_id, "no step", draw.random())
    return run_id


# TensorBoard


def write_tensorboardX(out):
    from tensorboardX import SummaryWriter

    write_summaries(out, SummaryWriter)


def write_torch(out):
    from torch.utils.tensorboard import SummaryWriter

    write_summaries(out, SummaryWriter)


def write_summaries(out, summary_writer):
    """Variants with the writer that tensorboardX and torch share."""
    draw = random.Random(f"{SEED} twins")
    for name in ("train", "test"):
        with summary_writer(str(out / "twins" / name)) as writer:
            for step, value in enumerate(loss_values(draw, 12)):
                writer.add_scalar("loss", value, step)
    with summary_writer(str(out / "media" / "run")) as writer:
        for step, value in enumerate(loss_values(draw, 6)):
            writer.add_scalar("loss", value, step)
            writer.add_scalars("group", {"a": value, "b": -value}, step)
            writer.add_text("note", "a text", step)
        writer.add_scalar("odd", float("nan"), 3)
        writer.add_scalar("far", float("inf"), 2**40)
    if hasattr(summary_writer, "add_hparams"):
        for number in range(2):
            with summary_writer(str(out / "hparams" / f"run{number}")) as writer:
                for step, value in enumerate(loss_values(draw, 4)):
                    writer.add_scalar("loss", value, step)
                values = {"lr": 10.0**-number, "layers": 4 + number, "opt": "adam", "amp": number == 0}
                writer.add_hparams(values, {"hparam/acc": draw.random()})
    for purge in ({}, {"purge_step": 7}):
        time.sleep(1.1)  # tensorboardX names the file after the second
        with summary_writer(str(out / "purged"), **purge) as writer:
            for step, value in enumerate(loss_values(draw, 10), 0 if not purge else 7):
                writer.add_scalar("loss", value, step)
                writer.add_scalar("eval/loss", value, step * 10)


def write_tensorboard(out):
    """Scalars in both forms, by TensorBoard's own writer of event files."""
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def simple(tag, value):
        return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])

    def tensor(tag, value):
        return scalar_pb(tag, value)

    draw = random.Random(f"{SEED} tensorboard")
    for name, make in (("simple", simple), ("tensor", tensor)):
        for run in ("a", "b/c"):
            writer = EventFileWriter(str(out / name / run))
            for step, value in enumerate(loss_values(draw, 15)):
                for tag in ("loss", "eval/loss"):
                    event = event_pb2.Event(wall_time=1700000000 + step, step=step, summary=make(tag, value))
                    writer.add_event(event)
            writer.close()
    for part in range(2):  # two processes that write by turns, and one that comes back
        writer = EventFileWriter(str(out / "turns"), filename_suffix=f".{part}")
        for step in range(part, 20, 2):
            event = event_pb2.Event(
                wall_time=1700000000 + step, step=step, summary=simple("loss", draw.random())
            )
            writer.add_event(event)
        writer.close()
    for part in range(2):
        writer = EventFileWriter(str(out / "restart"), filename_suffix=f".{part}")
        for step in range(part * 6, part * 6 + 10):
            at = 1700000000 + 100 * part + step
            writer.add_event(event_pb2.Event(wall_time=at, step=step, summary=tensor("loss", draw.random())))
        writer.close()


if __name__ == "__main__":
    globals()[f"write_{sys.argv[1]}"](Path(sys.argv[2]))
