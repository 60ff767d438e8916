"""Database tables, one file per noun."""

from jobs.models.artefacts import Artefact, RunInput, SavedModel
from jobs.models.checkpoints import Checkpoint, CheckpointCopy, CheckpointPart
from jobs.models.clocks import RunClock, RunHost
from jobs.models.cluster import Device, Node, Pool
from jobs.models.component_heartbeats import ComponentHeartbeat
from jobs.models.datasets import Dataset, DatasetEvent, DatasetPart
from jobs.models.deletions import Deletion, DeletionState, FolderRemoval
from jobs.models.forecasts import Correction, Forecast, StartPromise
from jobs.models.health import RunHealth
from jobs.models.ledgers import RunLedger
from jobs.models.logs import UploadedLog
from jobs.models.media import ConsolePart, MediaEntry, RunEnvironment
from jobs.models.nodes import NodeEvent, NodeToken
from jobs.models.outputs import RunOutput
from jobs.models.people import (
    ApiToken,
    AuditEntry,
    Invitation,
    LastQuery,
    LoginLink,
    Membership,
    Team,
    UserSession,
)
from jobs.models.pools import PoolEvent
from jobs.models.profiles import DeviceProfile, LinkProfile
from jobs.models.runs import Project, ProjectEvent, Run, RunEvent, RunMetric, RunParam, RunTag
from jobs.models.series import Batch, Chunk, ChunkData, Delivery, Segment, StoredSeries, Stream
from jobs.models.shares import Charge, Share
from jobs.models.sharing import Comment, Report, SavedView
from jobs.models.sweeps import Sweep, SweepEvent
from jobs.models.templates import Template, TemplateEvent
from jobs.models.traces import StepTimeline, Trace, TraceChunk, TraceFile
from jobs.models.verdicts import CheckState, RunVerdict, VerdictCheck
from jobs.models.versions import ArtefactVersion
from jobs.models.work import Attempt, AttemptNode, Event, Job, Lease, Priority, SpoolOffset

__all__ = [
    "ApiToken",
    "Artefact",
    "ArtefactVersion",
    "Attempt",
    "AttemptNode",
    "AuditEntry",
    "Batch",
    "Charge",
    "CheckState",
    "Checkpoint",
    "CheckpointCopy",
    "CheckpointPart",
    "Chunk",
    "ChunkData",
    "Comment",
    "ComponentHeartbeat",
    "ConsolePart",
    "Correction",
    "Dataset",
    "DatasetEvent",
    "DatasetPart",
    "Deletion",
    "DeletionState",
    "Delivery",
    "Device",
    "DeviceProfile",
    "Event",
    "FolderRemoval",
    "Forecast",
    "Invitation",
    "Job",
    "LastQuery",
    "Lease",
    "LinkProfile",
    "LoginLink",
    "MediaEntry",
    "Membership",
    "Node",
    "NodeEvent",
    "NodeToken",
    "Pool",
    "PoolEvent",
    "Priority",
    "Project",
    "ProjectEvent",
    "Report",
    "Run",
    "RunClock",
    "RunEnvironment",
    "RunEvent",
    "RunHealth",
    "RunHost",
    "RunInput",
    "RunLedger",
    "RunMetric",
    "RunOutput",
    "RunParam",
    "RunTag",
    "RunVerdict",
    "SavedModel",
    "SavedView",
    "Segment",
    "Share",
    "SpoolOffset",
    "StartPromise",
    "StepTimeline",
    "StoredSeries",
    "Stream",
    "Sweep",
    "SweepEvent",
    "Team",
    "Template",
    "TemplateEvent",
    "Trace",
    "TraceChunk",
    "TraceFile",
    "UploadedLog",
    "UserSession",
    "VerdictCheck",
]
