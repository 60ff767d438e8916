"""Collectives of DeepSpeed's communication backend: what each carries, and a watch over all of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Collective(NamedTuple):
    """Which metric counts its bytes, and the name and place of the argument that holds them."""

    metric: str
    argument: str
    place: int = 0
    peer: str = ""  # the argument that names the rank at the other end, of send and receive


PAYLOADS: dict[str, Collective | None] = {
    "all_reduce": Collective("all_reduce_bytes", "tensor"),
    "all_reduce_coalesced": Collective("all_reduce_bytes", "tensors"),
    "reduce": Collective("all_reduce_bytes", "tensor"),
    "broadcast": Collective("broadcast_bytes", "tensor"),
    "all_gather": Collective("all_gather_bytes", "tensor", 1),
    "all_gather_into_tensor": Collective("all_gather_bytes", "input_tensor", 1),
    "all_gather_coalesced": Collective("all_gather_bytes", "input_tensors", 1),
    "reduce_scatter": Collective("reduce_scatter_bytes", "input_list", 1),
    "reduce_scatter_tensor": Collective("reduce_scatter_bytes", "input_tensor", 1),
    "all_to_all_single": Collective("all_to_all_bytes", "input", 1),
    "send": Collective("send_receive_bytes", "tensor", peer="dst"),
    "recv": Collective("send_receive_bytes", "tensor", peer="src"),
    "isend": Collective("send_receive_bytes", "tensor", peer="dst"),
    "irecv": Collective("send_receive_bytes", "tensor", peer="src"),
    "barrier": None,
}


class Payload(NamedTuple):
    name: str  # of the collective
    metric: str  # '' carries nothing
    num_bytes: int
    peer: int | None = None


class Watcher(Protocol):
    def communication(self, payload: Payload) -> AbstractContextManager[None]: ...


def watch(backend: Any, watcher: Watcher) -> None:
    """Time and count every collective that goes through DeepSpeed's backend object (deepspeed.comm.comm.cdb), which
    all of DeepSpeed 0.19.8's engines use."""
    for name, carried in PAYLOADS.items():
        setattr(backend, name, _watched(getattr(backend, name), name, carried, watcher))


def _watched(
    collective: Callable[..., Any], name: str, carried: Collective | None, watcher: Watcher
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        payload = _payload(name, carried, args, kwargs)
        with watcher.communication(payload):
            work = collective(*args, **kwargs)
        return work if work is None else _WatchedWork(work, payload._replace(num_bytes=0), watcher)

    call.unwatched = collective  # type: ignore[attr-defined]  # for probes, which are no part of a step
    return call


class _WatchedWork:
    """A handle of an asynchronous collective whose wait counts as communication."""

    def __init__(self, work: Any, payload: Payload, watcher: Watcher) -> None:
        self._work, self._payload, self._watcher = work, payload, watcher

    def wait(self, *args: Any) -> Any:
        with self._watcher.communication(self._payload):
            return self._work.wait(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)


def _payload(name: str, carried: Collective | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Payload:
    if carried is None:
        return Payload(name, "", 0)
    held = kwargs[carried.argument] if carried.argument in kwargs else args[carried.place]
    tensors: list[Tensor] = [held] if isinstance(held, Tensor) else held
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return Payload(name, carried.metric, num_bytes, kwargs.get(carried.peer) if carried.peer else None)
