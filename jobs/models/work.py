"""Jobs, attempts, leases on devices, and job events."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from jobs.ids import new_id
from jobs.models.cluster import Device, Node, Pool
from jobs.models.people import Team
from jobs.models.sweeps import Sweep
from jobs.models.templates import Template
from jobs.states.jobs import AttemptNodeState, AttemptState, Cause, JobState


class Priority(models.IntegerChoices):
    """Priority classes. A higher one is served first and may preempt lower ones."""

    LOW = 0, "low"
    NORMAL = 1, "normal"
    HIGH = 2, "high"


class Job(models.Model):
    """A training job in the queue. Written only by jobs.queue, jobs.scheduler and jobs.lifecycle."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="jobs")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs")
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="jobs")
    name = models.CharField(max_length=100)
    spec = models.JSONField()
    plan = models.JSONField(default=dict)
    num_devices = models.PositiveIntegerField()
    time_limit_s = models.PositiveIntegerField(default=3600)  # of each attempt
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    is_preemptible = models.BooleanField(default=True)  # a job of higher priority may preempt it
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED, db_index=True)
    # Target state once the attempt has stopped: cancelled or paused; '': no request
    wanted_state = models.CharField(max_length=10, blank=True)
    stopping_since = models.DateTimeField(null=True)
    # When the current attempt will be stopped because its devices are idle, and the user who extended that time
    idle_stop_at = models.DateTimeField(null=True)
    idle_extended_by = models.CharField(max_length=150, blank=True)
    # Position in the queue at the scheduler's last tick; written only by jobs.scheduler.positions.
    waiting_reason = models.CharField(max_length=300, blank=True)
    waiting_for = models.JSONField(default=dict)  # {"code": ..., "values": {...}} of that sentence
    position = models.PositiveIntegerField(null=True)  # 1 is served next
    expected_start_at = models.DateTimeField(
        null=True
    )  # latest start; NULL: see waiting_for["unknown_start"]
    # Written by jobs.scheduler.likely_starts and read through jobs.queue.start_times
    duration_s = models.FloatField(null=True)  # likely time on its devices; NULL: nothing tells it
    duration_from = models.JSONField(default=dict)  # {"code": ..., "n": ...}, {} before it was estimated
    likely_start_at = models.DateTimeField(null=True)
    likely_start_from = models.JSONField(default=dict)  # {"before", "unknown", "latest"}
    queue_key = models.DateTimeField(
        default=timezone.now
    )  # order within the team's queue; changed by a reordering
    reason = models.TextField(blank=True)  # of the final state, one sentence
    attempt_number = models.PositiveIntegerField(default=0)  # of the current attempt; the fencing token
    step = models.PositiveIntegerField(default=0)  # newest known step, for progress bars
    stepped_at = models.DateTimeField(null=True)  # when that step ended
    num_steps = models.PositiveIntegerField()
    cloned_from = models.ForeignKey("jobs.Run", on_delete=models.SET_NULL, related_name="clones", null=True)
    start_checkpoint = models.ForeignKey(
        "jobs.Checkpoint", on_delete=models.SET_NULL, related_name="started", null=True
    )  # source of the initial weights
    template = models.ForeignKey(Template, on_delete=models.SET_NULL, related_name="jobs", null=True)
    sweep = models.ForeignKey(Sweep, on_delete=models.PROTECT, related_name="jobs", null=True)
    sweep_number = models.PositiveIntegerField(null=True)  # number of its point in the sweep, from 1
    halt_at_step = models.PositiveIntegerField(null=True)  # the job pauses after this step
    is_halted = models.BooleanField(default=False)  # paused because it reached halt_at_step
    # Decisions of people to give up checkpoints: [[attempt, step], ...], those of attempts up to it, above the step
    restarts = models.JSONField(default=list)
    preferred_node = models.ForeignKey(
        Node, on_delete=models.SET_NULL, related_name="+", null=True
    )  # where a drain said that it continues
    submitted_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)  # of the first step
    ended_at = models.DateTimeField(null=True)
    is_judged = models.BooleanField(default=False)  # whether its forecasts were compared with this end

    class Meta:
        ordering = ["-submitted_at"]
        indexes = [
            models.Index(fields=["team", "-submitted_at"]),
            models.Index(
                fields=["ended_at"],
                condition=models.Q(is_judged=False, ended_at__isnull=False),
                name="jobs_to_be_judged",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["sweep", "sweep_number"], name="one_job_per_point_of_a_sweep")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    @property
    def has_halted(self) -> bool:
        return self.halt_at_step is not None and self.step >= self.halt_at_step

    @property
    def progress_share(self) -> float:
        return min(1.0, self.step / self.num_steps)


class Attempt(models.Model):
    """One launch of a job on leased devices."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="attempts")  # of rank 0
    num_nodes = models.PositiveIntegerField(default=1)  # more than one: each node has an AttemptNode
    state = models.CharField(
        max_length=10, choices=AttemptState.choices, default=AttemptState.ASSIGNED, db_index=True
    )
    reason = models.TextField(blank=True)
    cause = models.CharField(max_length=20, choices=Cause.choices, blank=True)  # '' while it lives
    stderr_tail = models.TextField(blank=True)  # of the rank that failed first
    # Multi-node attempts: why all nodes must abort
    broken_because = models.CharField(max_length=300, blank=True)
    yield_reason = models.CharField(
        max_length=300, blank=True
    )  # why it must give up its devices; '': it need not
    preempted_by = models.ForeignKey(Job, on_delete=models.SET_NULL, related_name="preemptions", null=True)
    # Paths are relative to the folder of the node (jobs.nodes.folders) or, for shared checkpoints, to the shared root.
    directory = models.CharField(max_length=500, blank=True)
    placement = models.JSONField(default=dict)
    resumed_from = models.CharField(max_length=500, blank=True)
    checkpoint = models.CharField(max_length=500, blank=True)  # newest complete one
    checkpoint_step = models.PositiveIntegerField(null=True)
    checkpoint_at = models.DateTimeField(null=True)
    phases = models.JSONField(default=dict)  # START_PHASES -> seconds
    # The newest clock line of rank 0: at (unix time), first_step (steps done before it), step, seconds {part: s}
    clock = models.JSONField(default=dict)
    assigned_at = models.DateTimeField(auto_now_add=True)
    rung_at = models.DateTimeField(null=True)  # when the last doorbell message was sent
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="attempt_numbers_are_unique")]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.number}"


class AttemptNode(models.Model):
    """One node of a multi-node attempt. Written only by jobs.lifecycle and jobs.scheduler.gangs."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="attempt_nodes")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="attempt_nodes")
    state = models.CharField(
        max_length=10, choices=AttemptNodeState.choices, default=AttemptNodeState.ASSIGNED, db_index=True
    )
    reason = models.TextField(blank=True)
    cause = models.CharField(max_length=20, choices=Cause.choices, blank=True)  # '' while it lives
    stderr_tail = models.TextField(blank=True)
    is_secondary_failure = models.BooleanField(
        default=False
    )  # failed only because ranks on another node failed
    directory = models.CharField(max_length=500, blank=True)  # relative to the folder of its node
    address = models.CharField(max_length=100, blank=True)  # at which other nodes reach it
    port = models.PositiveIntegerField(default=0)  # rendezvous port, on the node of rank 0
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["attempt", "node"], name="one_row_per_attempt_and_node")
        ]

    def __str__(self) -> str:
        return f"{self.attempt_id} on {self.node_id}"


class Lease(models.Model):
    """An attempt's hold on one device. A partial unique index allows one active lease per device."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="leases")
    device = models.ForeignKey(Device, on_delete=models.PROTECT, related_name="leases")
    rank = models.PositiveIntegerField()
    is_active = models.BooleanField(default=True)
    is_faulty = models.BooleanField(default=False)  # the attempt failed and its reason names this device
    began_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    # Written by jobs.accounting.utilisation. use: {"2026-11-22": [seconds measured, seconds unused]}
    use = models.JSONField(default=dict)
    read_at = models.DateTimeField(null=True)  # newest reading
    used_at = models.DateTimeField(null=True)  # newest reading that was not below the pool's threshold

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["device"], condition=models.Q(is_active=True), name="one_active_lease_per_device"
            )
        ]


class Event(models.Model):
    """One event of a job: who, what, why. Append-only."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    attempt_number = models.PositiveIntegerField(null=True)
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)  # a user name, or scheduler, agent:<node>, rank<r>
    kind = models.CharField(max_length=40)  # job.<state>, attempt.<state>, checkpoint, note.<level>
    text = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]


class SpoolOffset(models.Model):
    """Read position in one spool file of an attempt, updated in the transaction that stores what was read."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="spool_offsets")
    file = models.CharField(max_length=100)
    offset_bytes = models.BigIntegerField(default=0)
    num_batches = models.PositiveIntegerField(default=0)  # appended to jobs.series; number of the next batch
    num_bad_lines = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["attempt", "file"], name="one_offset_per_spool_file")]
