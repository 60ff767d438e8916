"""Network busy: a full link between nodes, or one with traffic of others."""

from __future__ import annotations

from engine.verdict.evidence import get_device_evidence
from engine.verdict.facts import DeviceFacts, Facts
from engine.verdict.formatting import format_share
from engine.verdict.readings import get_payload_rate
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule

SENT, RECEIVED = "network_tx_bytes_per_s", "network_rx_bytes_per_s"
FULL = 0.80  # of the link between nodes, where a fabric test measured it
# An all-reduce sends less than twice its payload; the rest is for headers and retransmissions.
OWN_FACTOR, OTHERS = 2.5, 0.5  # and the share of the traffic from which others' is named
LEAST_BYTES_PER_S = 20e6


def _get_rate(device: DeviceFacts) -> float:
    """Of the busier direction."""
    return max(device.means.get(SENT, 0.0), device.means.get(RECEIVED, 0.0))


def _find_busiest(facts: Facts) -> DeviceFacts | None:
    """None unless the ranks are on several hosts: only then do they need the network."""
    if len({device.host for device in facts.devices} - {""}) < 2:
        return None
    found = [device for device in facts.devices if SENT in device.means or RECEIVED in device.means]
    return max(found, key=_get_rate, default=None)


def _get_capacity(facts: Facts) -> float | None:
    link = facts.profile.between_nodes if facts.profile else None
    return link.bytes_per_s if link and facts.profile and facts.profile.standing == "measured" else None


def _detect(facts: Facts) -> Observation | None:
    busiest, own, capacity = _find_busiest(facts), _get_own_rate(facts), _get_capacity(facts)
    if busiest is None or (rate := _get_rate(busiest)) < LEAST_BYTES_PER_S:
        return None
    sentences = []
    if capacity is not None and rate >= FULL * capacity:
        sentences.append(f"its link between nodes is used to {format_share(min(1.0, rate / capacity))}")
    if own is not None and rate - own >= OTHERS * rate:
        sentences.append(f"at most {own / 1e6:,.0f} MB/s of that are this run's collectives")
    if not sentences:
        return None
    where = busiest.host or busiest.title
    return Observation(f"Host {where} carries {rate / 1e6:,.0f} MB/s; {' and '.join(sentences)}.", "notable")


def _get_own_rate(facts: Facts) -> float | None:
    """The most that the collectives of the ranks of one host can send."""
    rate = get_payload_rate(facts)
    if rate is None:
        return None
    hosts = [device.host for device in facts.devices]
    return OWN_FACTOR * rate * max((hosts.count(host) for host in set(hosts)), default=1)


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    threshold = f">= {format_share(FULL)} of the link"
    return (
        Evidence(
            "Payload of a rank",
            get_payload_rate(facts),
            "bytes_per_s",
            "derived",
            "",
            "collective_bytes / step",
        ),
        *get_device_evidence(facts.devices, "Network sent", SENT, "bytes_per_s", threshold),
        *get_device_evidence(facts.devices, "Network received", RECEIVED, "bytes_per_s", threshold),
    )


RULE = StateRule(
    id="network_busy",
    limit="bandwidth",
    title="Network busy",
    sentence="{text}",
    formula=(
        f"traffic of a host >= {format_share(FULL)} of the measured link between nodes; or more than twice what its "
        "ranks can have sent"
    ),
    detect=_detect,
    get_evidence=_get_evidence,
    device_metrics=(SENT, RECEIVED),
    remedies=(
        Remedy(
            "quiet_network", "Take other traffic off the network",
            "Data, checkpoints and other jobs on a network of their own, or at another time; or all ranks on one node.",
        ),
    ),
)  # fmt: skip
