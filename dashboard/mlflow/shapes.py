"""Structs of request bodies.

Unknown fields are ignored, as in MLflow.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Millis = Annotated[int, Meta(ge=0)]


class Pair(Struct):
    key: str
    value: str = ""


class MetricIn(Struct):
    key: str
    value: float  # also "NaN", "Infinity", "-Infinity"
    timestamp: Millis
    step: int = 0


class CreateExperiment(Struct):
    name: str
    tags: list[Pair] = []


class ExperimentId(Struct):
    experiment_id: str


class ExperimentName(Struct):
    experiment_name: str


class UpdateExperiment(Struct):
    experiment_id: str
    new_name: str | None = None


class ExperimentTag(Struct):
    experiment_id: str
    key: str
    value: str = ""


class SearchExperiments(Struct):
    max_results: int = 1000
    view_type: str = "ACTIVE_ONLY"
    filter: str = ""
    order_by: list[str] = []
    page_token: str = ""


class CreateRun(Struct):
    experiment_id: str = "0"
    run_name: str = ""
    start_time: Millis | None = None
    tags: list[Pair] = []


class RunId(Struct):
    """Old clients send run_uuid."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def id(self) -> str:
        return self.run_id or self.run_uuid


class UpdateRun(RunId):
    status: str | int | None = None
    end_time: Millis | None = None
    run_name: str = ""


class LogMetric(RunId):
    key: str = ""
    value: float | None = None
    timestamp: Millis | None = None
    step: int = 0


class LogParam(RunId):
    key: str = ""
    value: str = ""


class LogBatch(RunId):
    metrics: list[MetricIn] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class DatasetIn(Struct):
    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class DatasetInput(Struct):
    dataset: DatasetIn
    tags: list[Pair] = []


class LogInputs(RunId):
    datasets: list[DatasetInput] = []


class SearchRuns(Struct):
    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: str = "ACTIVE_ONLY"
    max_results: int = 1000
    order_by: list[str] = []
    page_token: str = ""


class History(RunId):
    metric_key: str = ""
    max_results: Annotated[int, Meta(ge=1)] = 25_000
    page_token: str = ""


class HistoryOfMany(Struct):
    run_id: list[str] = []
    metric_key: str = ""
    max_results: Annotated[int, Meta(ge=1)] = 25_000


class Interval(Struct):
    run_ids: list[str] = []
    metric_key: str = ""
    start_step: int | None = None
    end_step: int | None = None
    max_results: Annotated[int, Meta(ge=4, le=10_000)] = 320


class ListArtifacts(RunId):
    path: str = ""


class ArtifactPath(Struct):
    path: str = ""
