"""Instrumentation of the collectives of DeepSpeed's communication backend."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Collective(NamedTuple):
    """The metric that counts its bytes, and name and position of the argument with the tensors."""

    metric: str
    argument: str
    position: int = 0
    peer: str = ""  # name of the argument with the other rank, for send and receive


COLLECTIVES: dict[str, Collective | None] = {
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
    """Size of one call of a collective."""

    name: str  # of the collective
    metric: str  # empty for collectives without data
    num_bytes: int
    peer: int | None = None


class CommunicationTimer(Protocol):
    def communication(self, payload: Payload) -> AbstractContextManager[None]: ...


def instrument(backend: Any, timer: CommunicationTimer) -> None:
    """Time and count every collective of DeepSpeed's backend object (deepspeed.comm.comm.cdb).

    All engines of DeepSpeed 0.19.8 use this object.
    """
    for name, description in COLLECTIVES.items():
        setattr(backend, name, _wrap(getattr(backend, name), name, description, timer))


def _wrap(
    collective: Callable[..., Any], name: str, description: Collective | None, timer: CommunicationTimer
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        payload = _payload_from_call(name, description, args, kwargs)
        with timer.communication(payload):
            work = collective(*args, **kwargs)
        return work if work is None else _TimedWork(work, payload._replace(num_bytes=0), timer)

    call.uninstrumented = collective  # type: ignore[attr-defined]  # for measurements outside a step
    return call


class _TimedWork:
    """A handle of an asynchronous collective whose wait counts as communication."""

    def __init__(self, work: Any, payload: Payload, timer: CommunicationTimer) -> None:
        self._work, self._payload, self._timer = work, payload, timer

    def wait(self, *args: Any) -> Any:
        with self._timer.communication(self._payload):
            return self._work.wait(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)


def _payload_from_call(
    name: str, description: Collective | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Payload:
    if description is None:
        return Payload(name, "", 0)
    value = kwargs[description.argument] if description.argument in kwargs else args[description.position]
    tensors: list[Tensor] = [value] if isinstance(value, Tensor) else value
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return Payload(
        name, description.metric, num_bytes, kwargs.get(description.peer) if description.peer else None
    )
