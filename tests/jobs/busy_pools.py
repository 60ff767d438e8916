"""Large pools with busy nodes and a long queue, written in bulk."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from jobs.ids import new_id
from jobs.models import Attempt, Device, Job, Lease, Node, Pool, Priority, Run, Share, Team
from jobs.states.jobs import AttemptState, JobState

DEVICES = 8
TEAMS = 10


def make_busy_pool(
    owner: User, num_nodes: int, num_jobs: int, free_nodes: int = 0, name: str = "crowd"
) -> Pool:
    """Create a pool in which all but `free_nodes` nodes are full of single-device attempts.

    Jobs of ten teams with quotas and all priorities wait.
    """
    pool = Pool.objects.create(name=name)
    teams = Team.objects.bulk_create(Team(name=f"{name} team {n}", slug=f"{name}-{n}") for n in range(TEAMS))
    Share.objects.bulk_create(
        Share(team=team, pool=pool, weight=1 + n % 3, guaranteed=10, borrowable=num_nodes * DEVICES)
        for n, team in enumerate(teams)
    )
    now = timezone.now()
    nodes = Node.objects.bulk_create(
        Node(id=f"{name}-{n:04}", name=f"{name}-{n:04}", pool=pool, heartbeat_at=now)
        for n in range(num_nodes)
    )
    devices = Device.objects.bulk_create(
        Device(id=f"{node.id}-{index}", node=node, index=index, kind="cuda", name="device")
        for node in nodes
        for index in range(DEVICES)
    )
    _hold(owner, pool, teams, [d for d in devices if int(d.node_id[-4:]) >= free_nodes])
    Job.objects.bulk_create(
        _job(
            owner, teams[n % TEAMS], pool, n, (1, 1, 2, 4, 8)[n % 5],
            priority=Priority.values[n % 7 % 3], queue_key=now - timedelta(seconds=num_jobs - n),
        )
        for n in range(num_jobs)
    )  # fmt: skip
    return pool


def add_runs(pool: Pool) -> Pool:
    """Add a run to each job, for pages that link to it."""
    Run.objects.bulk_create(
        Run(job=job, team_id=job.team_id, owner_id=job.owner_id, name=job.name)
        for job in Job.objects.filter(pool=pool)
    )
    return pool


def _hold(owner: User, pool: Pool, teams: list[Team], devices: list[Device]) -> None:
    began = timezone.now() - timedelta(seconds=600)
    jobs = Job.objects.bulk_create(
        _job(
            owner, teams[n % TEAMS], pool, n, 1, state=JobState.RUNNING, attempt_number=1,
            is_preemptible=bool(n % 2),
        )
        for n in range(len(devices))
    )  # fmt: skip
    attempts = Attempt.objects.bulk_create(
        Attempt(job=job, number=1, node_id=device.node_id, state=AttemptState.RUNNING, started_at=began)
        for job, device in zip(jobs, devices, strict=True)
    )
    Attempt.objects.filter(job__pool=pool).update(assigned_at=began)
    Lease.objects.bulk_create(
        Lease(attempt=attempt, device=device, rank=0)
        for attempt, device in zip(attempts, devices, strict=True)
    )


def _job(owner: User, team: Team, pool: Pool, number: int, num_devices: int, **fields: object) -> Job:
    return Job(
        id=new_id(), team=team, owner=owner, pool=pool, name=f"job {number}", spec={}, num_devices=num_devices,
        num_steps=100, time_limit_s=3600 + number % 977 * 10, **fields,
    )  # fmt: skip
