"""NVLink unused: collectives of GPUs of one host that take another way."""

from __future__ import annotations

from collections import Counter

from engine.verdict.evidence import get_device_evidence
from engine.verdict.facts import Facts
from engine.verdict.readings import get_payload_rate
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule

SENT, RECEIVED = "nvlink_tx_bytes_per_s", "nvlink_rx_bytes_per_s"
PCIE = ("pcie_tx_bytes_per_s", "pcie_rx_bytes_per_s")
USED = 0.05  # of the payload's rate, below which it takes another way
LEAST_BYTES_PER_S = 50e6


def _detect(facts: Facts) -> Observation | None:
    rate = get_payload_rate(facts)
    devices = [device for device in facts.devices if SENT in device.means and RECEIVED in device.means]
    hosts = Counter(device.host for device in devices)
    # Ranks on other hosts may be the only ones that a rank talks to.
    if rate is None or rate < LEAST_BYTES_PER_S or len(devices) < facts.world_size or len(hosts) != 1:
        return None
    most = max(device.means[SENT] + device.means[RECEIVED] for device in devices)
    if len(devices) < 2 or most >= USED * rate:
        return None
    return Observation(f"{rate / 1e6:,.0f} MB/s", "notable")


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    rate = get_payload_rate(facts)
    rows = [Evidence("Payload of a rank", rate, "bytes_per_s", "derived", "", "collective_bytes / step")]
    for title, metric in (
        ("NVLink sent", SENT), ("NVLink received", RECEIVED), ("PCIe to host", PCIE[0]), ("PCIe from host", PCIE[1]),
    ):  # fmt: skip
        rows += get_device_evidence(facts.devices, title, metric, "bytes_per_s")
    return tuple(rows)


RULE = StateRule(
    id="nvlink_unused",
    limit="bandwidth",
    title="NVLink unused",
    sentence=(
        "The ranks exchange {text} each, and next to nothing of it over the NVLinks that their GPUs have: it goes "
        "through PCIe or host memory."
    ),
    formula=f"NVLink traffic < {USED:.0%} of the payload of collectives, all ranks on one host with NVLink counters",
    detect=_detect,
    get_evidence=_get_evidence,
    device_metrics=(SENT, RECEIVED, *PCIE),
    remedies=(
        Remedy(
            "use_nvlink", "Let NCCL use the NVLinks",
            "Look for NCCL_P2P_DISABLE or NCCL_P2P_LEVEL in the environment, for containers that hide GPUs from each "
            "other, and for GPUs in one run that no NVLink joins (`nvidia-smi topo -m`).",
        ),
    ),
)  # fmt: skip
