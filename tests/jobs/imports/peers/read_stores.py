"""What the clients' own readers find in the stores that write_stores.py made, as JSON.

`python read_stores.py KIND OUT` prints {store: {run: ...}}, with KIND one of wandb, mlflow and tensorboard. W&B 0.31
has no reader in Python: `python read_stores.py records OUT FILE` in an environment of an older one writes the raw
records for `python read_stores.py wandb OUT FILE`.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path


def stores(out):
    return sorted(path for path in out.iterdir() if path.is_dir())


def relative(out, path):
    return str(path.relative_to(out))


# W&B


def raw_records(path):
    from wandb.sdk.internal.datastore import DataStore

    store = DataStore()
    store.open_for_scan(str(path))
    return list(iter(store.scan_data, None))


def read_records(out, target):
    found = {
        relative(out, path): [base64.b64encode(data).decode() for data in raw_records(path)]
        for path in sorted(out.rglob("*.wandb"))
    }
    Path(target).write_text(json.dumps(found))


def read_wandb(out, records=None):
    known = json.loads(Path(records).read_text()) if records else {}
    found = {}
    for store in stores(out):
        files = {}
        for path in sorted(store.rglob("*.wandb")):
            encoded = known.get(relative(out, path))
            data = [base64.b64decode(one) for one in encoded] if encoded is not None else raw_records(path)
            files[relative(store, path)] = wandb_file(data)
        found[store.name] = files
    return found


def wandb_file(records):
    from wandb.proto import wandb_internal_pb2 as proto

    found = {"rows": [], "config": {}, "summary": {}, "exit": None, "kinds": []}
    for data in records:
        record = proto.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        found["kinds"].append(kind)
        if kind == "run":
            found |= {"id": record.run.run_id, "name": record.run.display_name, "project": record.run.project}
            found |= {
                "group": record.run.run_group,
                "job_type": record.run.job_type,
                "notes": record.run.notes,
            }
            found |= {"tags": list(record.run.tags), "sweep": record.run.sweep_id}
            found["config"] |= items(record.run.config.update)
            found["summary"] |= items(record.run.summary.update)
        elif kind == "config":
            found["config"] |= items(record.config.update)
        elif kind == "summary":
            found["summary"] |= items(record.summary.update)
        elif kind == "history":
            found["rows"].append({"step": record.history.step.num, "items": items(record.history.item)})
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    found["kinds"] = sorted(set(found["kinds"]))
    return found


def items(some):
    found = {}
    for item in some:
        kind = item.WhichOneof("value_type") if "value_type" in item.DESCRIPTOR.oneofs_by_name else None
        if kind is not None:
            raise SystemExit(f"a typed value: {kind}")
        found[".".join(item.nested_key) if item.nested_key else item.key] = json.loads(item.value_json)
    return found


# MLflow


def read_mlflow(out):
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    return {store.name: mlflow_store(store.resolve()) for store in stores(out)}


def mlflow_store(store):
    from mlflow.entities import ViewType
    from mlflow.tracking import MlflowClient

    database = store / "mlflow.db"
    client = MlflowClient(f"sqlite:///{database}" if database.exists() else f"file://{store}/mlruns")
    search = getattr(client, "search_experiments", None) or client.list_experiments
    found = {}
    for one in search(view_type=ViewType.ALL):
        for run in client.search_runs([one.experiment_id], run_view_type=ViewType.ALL, max_results=100):
            metrics = {
                key: [[m.step, m.timestamp, m.value] for m in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
            }
            found[run.info.run_id] = {
                "experiment": one.name,
                "is_deleted": "deleted" in (one.lifecycle_stage, run.info.lifecycle_stage),
                "status": run.info.status,
                "start": run.info.start_time,
                "end": run.info.end_time,
                "params": dict(run.data.params),
                "tags": dict(run.data.tags),
                "metrics": metrics,
            }
    return found


# TensorBoard


def read_tensorboard(out):
    found = {}
    for store in stores(out):
        folders = sorted({path.parent for path in store.rglob("*tfevents*")})
        found[store.name] = {relative(store, folder): event_folder(folder) for folder in folders}
    return found


def event_folder(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sizes = dict.fromkeys(("scalars", "tensors", "histograms", "images", "audio", "compressedHistograms"), 0)
    everything = EventAccumulator(str(folder), sizes, purge_orphaned_data=False).Reload()
    purged = EventAccumulator(str(folder), sizes, purge_orphaned_data=True).Reload()
    return {"points": scalars(everything), "visible": scalars(purged), "params": parameters(everything)}


def scalars(reader):
    from tensorboard.util.tensor_util import make_ndarray

    found = {
        tag: [[e.step, e.wall_time, e.value] for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]
    }
    for tag in reader.PluginTagToContent("scalars") if "scalars" in plugins(reader) else []:
        found[tag] = [[e.step, e.wall_time, float(make_ndarray(e.tensor_proto))] for e in reader.Tensors(tag)]
    return found


def plugins(reader):
    return {metadata.plugin_data.plugin_name for metadata in reader.summary_metadata.values()}


def parameters(reader):
    from tensorboard.plugins.hparams import plugin_data_pb2

    found = {}
    for tag, content in (
        reader.PluginTagToContent("hparams") if "hparams" in plugins(reader) else {}
    ).items():
        data = plugin_data_pb2.HParamsPluginData.FromString(content)
        if tag == "_hparams_/session_start_info":
            for key, value in data.session_start_info.hparams.items():
                found[key] = getattr(value, value.WhichOneof("kind"))
    return found


if __name__ == "__main__":
    kind, folder, *rest = sys.argv[1:]
    result = globals()[f"read_{kind}"](Path(folder), *rest)
    if result is not None:
        json.dump(result, sys.stdout, indent=None, sort_keys=True)
