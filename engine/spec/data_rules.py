"""Rules about data, each with a reason and an alternative."""

from __future__ import annotations

from collections.abc import Iterator

from engine.spec.problems import Problem
from engine.spec.spec import Spec

PACKED_OBJECTIVES = ("next_token", "pairs", "chat")


def data_problems(spec: Spec) -> Iterator[Problem]:
    data = spec.data
    if data.packing and (spec.model.family != "decoder" or data.objective not in PACKED_OBJECTIVES):
        yield Problem(
            "data.packing",
            f"Packing needs a decoder with the objective {' or '.join(PACKED_OBJECTIVES)}: only its sequences hold "
            "several texts.",
            {"data.packing": False},
        )
    if data.tokenizer == "pretrained" and not data.tokenizer_path and not spec.start_from:
        yield Problem(
            "data.tokenizer_path",
            "A published tokenizer is read from a folder or file in the data folder, or from the weights that the run "
            "starts from. Name one of them.",
        )
