"""Prometheus metrics of devices, queue, points and agents at /metrics.

They hold current values, no history. An absent reading has no sample. Metrics of devices have the names, units and
labels of NVIDIA's dcgm-exporter where it defines them; every kind of device also has Fourwalls's own, in SI units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, Min, Sum
from django.utils import timezone

from engine.telemetry.metrics import METRICS
from jobs.models import Batch, ComponentHeartbeat, Device, Job, Node, Run, SpoolOffset
from jobs.nodes.heartbeat import is_fresh
from jobs.nodes.node_faults import free_bytes
from jobs.nodes.occupants import devices_with_leases, get_lease
from jobs.states.jobs import FINAL, JobState
from jobs.states.nodes import AdminState, Health

Labels = dict[str, str]
MEGA, MIB = 1e-6, 1 / 2**20


class Sample(NamedTuple):
    labels: Labels
    value: float


class MetricFamily(NamedTuple):
    name: str
    help: str
    samples: list[Sample]


# Name, our metric, factor, help text of dcgm-exporter
DCGM: tuple[tuple[str, str, float, str], ...] = (
    ("DCGM_FI_DEV_GPU_UTIL", "utilisation_pct", 1, "GPU utilization (in %)."),
    ("DCGM_FI_DEV_FB_USED", "memory_used_bytes", MIB, "Framebuffer memory used (in MiB)."),
    ("DCGM_FI_DEV_POWER_USAGE", "power_w", 1, "Power draw (in W)."),
    ("DCGM_FI_DEV_GPU_TEMP", "temperature_celsius", 1, "GPU temperature (in C)."),
    ("DCGM_FI_DEV_SM_CLOCK", "sm_clock_hz", MEGA, "SM clock frequency (in MHz)."),
    ("DCGM_FI_PROF_DRAM_ACTIVE", "memory_bandwidth_share", 1, "Ratio of cycles the device memory interface is active."),
    ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "tensor_active_share", 1, "Ratio of cycles the tensor pipe is active."),
    ("DCGM_FI_PROF_SM_ACTIVE", "sm_active_share", 1, "Ratio of cycles an SM has at least 1 warp assigned."),
    ("DCGM_FI_PROF_SM_OCCUPANCY", "sm_occupancy_share", 1, "Ratio of warps resident on an SM to those that fit."),
    ("DCGM_FI_DEV_MEMORY_TEMP", "memory_temperature_celsius", 1, "Memory temperature (in C)."),
    ("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "pcie_replays", 1, "Total number of PCIe retries."),
    ("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "memory_errors_corrected", 1, "Total number of single-bit volatile ECC errors."),
    ("DCGM_FI_PROF_PCIE_TX_BYTES", "pcie_tx_bytes_per_s", 1, "Rate of data sent over PCIe (in B/s)."),
    ("DCGM_FI_PROF_PCIE_RX_BYTES", "pcie_rx_bytes_per_s", 1, "Rate of data received over PCIe (in B/s)."),
    ("DCGM_FI_PROF_NVLINK_TX_BYTES", "nvlink_tx_bytes_per_s", 1, "Rate of data sent over NVLink (in B/s)."),
    ("DCGM_FI_PROF_NVLINK_RX_BYTES", "nvlink_rx_bytes_per_s", 1, "Rate of data received over NVLink (in B/s)."),
)  # fmt: skip


def render_metrics(can_see: Callable[[int], bool]) -> str:
    """Render all metrics. `can_see`: whether the caller may see the jobs of a team, by its id.

    The number of queries is constant.
    """
    now = timezone.now()
    families = [
        *_device_metrics(can_see, now),
        *_queue_metrics(now),
        *_point_metrics(),
        *_component_metrics(now),
        *_disk_metrics(now),
    ]
    return "".join(_render_family(family) for family in families if family.samples)


def _device_metrics(can_see: Callable[[int], bool], now: datetime) -> Iterator[MetricFamily]:
    known = [
        (device, _build_labels(device, can_see))
        for device in devices_with_leases().select_related("node__pool")
    ]
    fresh = [(device, labels) for device, labels in known if is_fresh(device.latest_at, now)]
    gpus = [(device, labels) for device, labels in fresh if device.kind == "cuda"]
    for name, metric_name, factor, help_text in DCGM:
        yield MetricFamily(name, help_text, _read_samples(gpus, metric_name, factor))
    yield MetricFamily("DCGM_FI_DEV_XID_ERRORS", "Value of the last XID error encountered.", _last_xids(gpus))
    for metric in METRICS:
        if metric.scope == "device":
            yield MetricFamily(
                f"fourwalls_device_{metric.name}", metric.meaning, _read_samples(fresh, metric.name, 1)
            )
    held = [Sample(labels, float(get_lease(device) is not None)) for device, labels in known]
    yield MetricFamily("fourwalls_device_held", "1 where an attempt holds the device.", held)
    ages = [
        Sample(labels, (now - device.latest_at).total_seconds())
        for device, labels in known
        if device.latest_at
    ]
    yield MetricFamily(
        "fourwalls_device_reading_age_s",
        "Time since the device was last read; old readings have no samples.",
        ages,
    )


def _build_labels(device: Device, can_see: Callable[[int], bool]) -> Labels:
    lease = get_lease(device)
    job = lease.attempt.job if lease and can_see(lease.attempt.job.team_id) else None
    return {
        "gpu": str(device.index),
        "UUID": device.id,
        "device": f"nvidia{device.index}" if device.kind == "cuda" else f"cpu{device.index}",
        "modelName": device.name,
        "Hostname": device.node.name,
        "pool": device.node.pool.name,
        "job": job.id if job else "",
        "run": job.run.id if job else "",
        **({"simulated": "true"} if device.node.is_simulated else {}),
    }


def _read_samples(devices: Iterable[tuple[Device, Labels]], metric: str, factor: float) -> list[Sample]:
    values = ((device.latest.get("metrics", {}).get(metric), labels) for device, labels in devices)
    return [Sample(labels, value * factor) for value, labels in values if value is not None]


def _last_xids(gpus: Iterable[tuple[Device, Labels]]) -> list[Sample]:
    """Return the last XID error of each GPU: 0 if it reported none, no sample if it cannot report any."""
    samples = []
    for device, labels in gpus:
        codes = [fault["code"].split() for fault in device.latest.get("faults", [])]
        numbers = [int(code[1]) for code in codes if len(code) == 2 and code[0] == "xid"]
        if "xid" not in device.latest.get("faults_missing", {"xid": ""}):
            samples.append(Sample(labels, numbers[-1] if numbers else 0))
    return samples


def _disk_metrics(now: datetime) -> Iterator[MetricFamily]:
    """Disks of nodes as their samplers read them, and those of this server."""
    nodes = [node for node in Node.objects.select_related("pool") if is_fresh(node.heartbeat_at, now)]
    for name, help_text in (
        ("free", "Free space of the node's disk."),
        ("total", "Size of the node's disk."),
    ):
        samples = [
            Sample({"Hostname": node.name, "pool": node.pool.name}, node.host[f"disk_{name}_bytes"])
            for node in nodes
            if node.host.get(f"disk_{name}_bytes") is not None
        ]
        yield MetricFamily(f"fourwalls_node_disk_{name}_bytes", help_text, samples)
    folders = {"home": settings.HOME_DIR, "artefacts": Path(settings.ARTEFACT_ROOT)}
    free = {name: free_bytes(folder) for name, folder in folders.items()}
    yield MetricFamily(
        "fourwalls_server_disk_free_bytes",
        "Free space of this server's disks, by what lies on them.",
        [Sample({"folder": name}, value) for name, value in free.items() if value is not None],
    )


def _queue_metrics(now: datetime) -> Iterator[MetricFamily]:
    alive = Job.objects.exclude(state__in=FINAL).order_by()
    counts = alive.values_list("pool__name", "state").annotate(Count("id"))
    yield MetricFamily(
        "fourwalls_jobs", "Jobs that have not ended.",
        [Sample({"pool": pool, "state": state}, count) for pool, state, count in counts],
    )  # fmt: skip
    waiting = alive.filter(state=JobState.QUEUED)
    reasons = waiting.values_list("pool__name", "waiting_for__code").annotate(Count("id"))
    yield MetricFamily(
        "fourwalls_jobs_waiting", "Jobs in the queue, by waiting reason.",
        [Sample({"pool": pool, "reason": reason or "unseen"}, count) for pool, reason, count in reasons],
    )  # fmt: skip
    oldest = waiting.values_list("pool__name").annotate(Min("submitted_at"))
    yield MetricFamily(
        "fourwalls_oldest_wait_s", "Waiting time of the job that was submitted first.",
        [Sample({"pool": pool}, (now - at).total_seconds()) for pool, at in oldest],
    )  # fmt: skip


def _point_metrics() -> Iterator[MetricFamily]:
    journal = Batch.objects.aggregate(batches=Count("seq"), streams=Count("stream_id", distinct=True))
    yield MetricFamily(
        "fourwalls_journal_batches", "Batches that are not folded yet.", [Sample({}, journal["batches"])]
    )
    yield MetricFamily(
        "fourwalls_journal_streams", "Writers with such batches.", [Sample({}, journal["streams"])]
    )
    bad = SpoolOffset.objects.aggregate(lines=Sum("num_bad_lines"))["lines"] or 0
    yield MetricFamily(
        "fourwalls_bad_lines", "Invalid lines in the spools of all attempts.", [Sample({}, bad)]
    )
    logged = Run.objects.filter(job=None, state=JobState.RUNNING).count()
    yield MetricFamily(
        "fourwalls_logged_runs", "Runs of other scripts that have not ended.", [Sample({}, logged)]
    )


def _component_metrics(now: datetime) -> Iterator[MetricFamily]:
    nodes = Node.objects.exclude(admin_state=AdminState.RETIRED)
    counts: dict[tuple[str, str], int] = {}
    for pool, at, health in nodes.values_list("pool__name", "heartbeat_at", "health"):
        absent = "stopped" if health == Health.STOPPED else "silent"
        key = (pool, "alive" if is_fresh(at, now) else absent)
        counts[key] = counts.get(key, 0) + 1
    yield MetricFamily(
        "fourwalls_agents", "Agents by heartbeat: alive, silent, or stopped properly. Without retired nodes.",
        [Sample({"pool": pool, "state": state}, count) for (pool, state), count in sorted(counts.items())],
    )  # fmt: skip
    heartbeats = ComponentHeartbeat.objects.filter(component="scheduler")
    ages = {heartbeat.component: (now - heartbeat.at).total_seconds() for heartbeat in heartbeats}
    yield MetricFamily(
        "fourwalls_scheduler_tick_age_s", "Time since the scheduler's last tick; it records one every two seconds.",
        [Sample({}, age) for age in ages.values()],
    )  # fmt: skip


def _render_family(family: MetricFamily) -> str:
    header = f"# HELP {family.name} {_escape(family.help)}\n# TYPE {family.name} gauge\n"
    return header + "".join(
        f"{family.name}{_render_labels(sample.labels)} {float(sample.value)!r}\n" for sample in family.samples
    )


def _render_labels(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{_escape_label(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escape_label(value: str) -> str:
    return _escape(value).replace('"', '\\"')


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")
