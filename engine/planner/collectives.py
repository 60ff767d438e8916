"""Time of ring collectives on a link.

NCCL and gloo use the ring. S bytes, n ranks, latency A, bandwidth B.
"""

from __future__ import annotations

from engine.planner.profile import HardwareProfile, Link

# Link between CPU ranks of one node until a fabric test has measured it. gloo took 20 ms for 16 MiB between two
# ranks and 0.3 ms for an empty message where memory copies ran at 4.5 GB/s.
LOOPBACK_LATENCY_S, LOOPBACK_COPIES = 3e-4, 5.5


def all_reduce_s(size: float, ranks: int, link: Link) -> float:
    """2 (n-1) A + 2 (n-1)/n S/B"""
    if ranks < 2 or not size:
        return 0.0
    return 2 * (ranks - 1) * link.latency_s + 2 * (ranks - 1) / ranks * size / link.bytes_per_s


def gather_s(size: float, ranks: int, link: Link) -> float:
    """All-gather to S bytes, or reduce-scatter of S bytes: (n-1) A + (n-1)/n S/B"""
    return all_reduce_s(size, ranks, link) / 2


def send_s(size: float, link: Link) -> float:
    return link.latency_s + size / link.bytes_per_s


def slowest_link(profile: HardwareProfile, ranks: int) -> Link | None:
    """Return the slowest link within a group of neighbouring ranks; None where it is unknown."""
    per_node = profile.devices_per_node
    if per_node is not None and ranks > per_node:
        return profile.between_nodes
    if profile.within_node is None and profile.kind == "cpu" and profile.memory_bytes_per_s:
        return Link(LOOPBACK_LATENCY_S, profile.memory_bytes_per_s / LOOPBACK_COPIES)
    return profile.within_node


def group_link(profile: HardwareProfile, ranks: int, stride: int) -> Link | None:
    """Link of a ring over every `stride`-th rank. Where it spans nodes, as many rings run as the group has members on a
    node, each over the network share of its device, so the node's share of a message enters over all of them."""
    per_node, outside = profile.devices_per_node, profile.between_nodes
    inside = slowest_link(profile, min(stride * ranks, per_node or stride * ranks))
    if per_node is None or stride * ranks <= per_node or outside is None:
        return slowest_link(profile, stride * ranks)
    members = max(1, min(ranks, per_node // stride))
    if inside is None or members == 1:
        return outside
    hops = 1 / members  # share of hops that leave a node
    latency_s = hops * outside.latency_s + (1 - hops) * inside.latency_s
    return Link(latency_s, min(inside.bytes_per_s, outside.bytes_per_s * members))
