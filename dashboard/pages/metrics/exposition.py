"""What Prometheus scrapes at /metrics: devices as they are now, the queue, and how points come in. No history.

A reading that cannot be had has no line. Device figures bear the names, units and labels of NVIDIA's dcgm-exporter
where it has one, and Fourwalls's own, in SI units, for every kind of device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Min, Sum
from django.utils import timezone

from engine.telemetry.metrics import METRICS
from jobs.models import Batch, ComponentHeartbeat, Device, Job, Node, Run, SpoolOffset
from jobs.nodes.heartbeat import is_fresh
from jobs.nodes.occupants import devices_with_leases, get_lease
from jobs.states.jobs import FINAL, JobState

Labels = dict[str, str]
MEGA, MIB = 1e-6, 1 / 2**20


class Line(NamedTuple):
    labels: Labels
    value: float


class Family(NamedTuple):
    name: str
    help: str
    lines: list[Line]


# name, our metric, factor, what dcgm-exporter says of it
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


def text(told: Callable[[int], bool]) -> str:
    """`told`: whether the caller may know whose a job is, by its team's id. A constant number of queries."""
    now = timezone.now()
    families = [*_devices(told, now), *_queue(now), *_points(), *_parts(now)]
    return "".join(_lines(family) for family in families if family.lines)


def _devices(told: Callable[[int], bool], now: datetime) -> Iterator[Family]:
    known = [(device, _labels(device, told)) for device in devices_with_leases().select_related("node__pool")]
    fresh = [(device, labels) for device, labels in known if is_fresh(device.latest_at, now)]
    gpus = [(device, labels) for device, labels in fresh if device.kind == "cuda"]
    for name, metric, factor, said in DCGM:
        yield Family(name, said, _read(gpus, metric, factor))
    yield Family("DCGM_FI_DEV_XID_ERRORS", "Value of the last XID error encountered.", _last_xids(gpus))
    for metric in METRICS:
        if metric.scope == "device":
            yield Family(f"fourwalls_device_{metric.name}", metric.meaning, _read(fresh, metric.name, 1))
    held = [Line(labels, float(get_lease(device) is not None)) for device, labels in known]
    yield Family("fourwalls_device_held", "1 where an attempt holds the device.", held)
    ages = [
        Line(labels, (now - device.latest_at).total_seconds()) for device, labels in known if device.latest_at
    ]
    yield Family(
        "fourwalls_device_reading_age_s", "Since the device was last read; old readings have no lines.", ages
    )


def _labels(device: Device, told: Callable[[int], bool]) -> Labels:
    lease = get_lease(device)
    job = lease.attempt.job if lease and told(lease.attempt.job.team_id) else None
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


def _read(devices: Iterable[tuple[Device, Labels]], metric: str, factor: float) -> list[Line]:
    read = ((device.latest.get("metrics", {}).get(metric), labels) for device, labels in devices)
    return [Line(labels, value * factor) for value, labels in read if value is not None]


def _last_xids(gpus: Iterable[tuple[Device, Labels]]) -> list[Line]:
    """0 for a GPU that has told of none; no line for one that cannot be asked."""
    lines = []
    for device, labels in gpus:
        codes = [fault["code"].split() for fault in device.latest.get("faults", [])]
        numbers = [int(code[1]) for code in codes if len(code) == 2 and code[0] == "xid"]
        if "xid" not in device.latest.get("faults_missing", {"xid": ""}):
            lines.append(Line(labels, numbers[-1] if numbers else 0))
    return lines


def _queue(now: datetime) -> Iterator[Family]:
    alive = Job.objects.exclude(state__in=FINAL).order_by()
    counts = alive.values_list("pool__name", "state").annotate(Count("id"))
    yield Family(
        "fourwalls_jobs", "Jobs that have not ended.",
        [Line({"pool": pool, "state": state}, count) for pool, state, count in counts],
    )  # fmt: skip
    waiting = alive.filter(state=JobState.QUEUED)
    reasons = waiting.values_list("pool__name", "waiting_for__code").annotate(Count("id"))
    yield Family(
        "fourwalls_jobs_waiting", "Jobs in the queue, by what they wait for.",
        [Line({"pool": pool, "reason": reason or "unseen"}, count) for pool, reason, count in reasons],
    )  # fmt: skip
    oldest = waiting.values_list("pool__name").annotate(Min("submitted_at"))
    yield Family(
        "fourwalls_oldest_wait_s", "How long the job that was submitted first has been waiting.",
        [Line({"pool": pool}, (now - at).total_seconds()) for pool, at in oldest],
    )  # fmt: skip


def _points() -> Iterator[Family]:
    journal = Batch.objects.aggregate(batches=Count("seq"), streams=Count("stream_id", distinct=True))
    yield Family(
        "fourwalls_journal_batches", "Batches that are not folded yet.", [Line({}, journal["batches"])]
    )
    yield Family("fourwalls_journal_streams", "Writers with such batches.", [Line({}, journal["streams"])])
    bad = SpoolOffset.objects.aggregate(lines=Sum("num_bad_lines"))["lines"] or 0
    yield Family(
        "fourwalls_bad_lines", "Lines of spools that could not be read, of all attempts.", [Line({}, bad)]
    )
    logged = Run.objects.filter(job=None, state=JobState.RUNNING).count()
    yield Family("fourwalls_logged_runs", "Runs of other scripts that have not ended.", [Line({}, logged)])


def _parts(now: datetime) -> Iterator[Family]:
    nodes = Node.objects.values_list("pool__name", "heartbeat_at")
    counts: dict[tuple[str, str], int] = {}
    for pool, at in nodes:
        key = (pool, "alive" if is_fresh(at, now) else "silent")
        counts[key] = counts.get(key, 0) + 1
    yield Family(
        "fourwalls_agents", "Agents, by whether they have been heard of.",
        [Line({"pool": pool, "state": state}, count) for (pool, state), count in sorted(counts.items())],
    )  # fmt: skip
    beats = ComponentHeartbeat.objects.filter(component="scheduler")
    ages = {beat.component: (now - beat.at).total_seconds() for beat in beats}
    yield Family(
        "fourwalls_scheduler_tick_age_s", "Since the scheduler last came round; it writes that down every two seconds.",
        [Line({}, age) for age in ages.values()],
    )  # fmt: skip


def _lines(family: Family) -> str:
    head = f"# HELP {family.name} {_escaped(family.help)}\n# TYPE {family.name} gauge\n"
    return head + "".join(
        f"{family.name}{_braced(line.labels)} {float(line.value)!r}\n" for line in family.lines
    )


def _braced(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _quoted(value: str) -> str:
    return _escaped(value).replace('"', '\\"')


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")
