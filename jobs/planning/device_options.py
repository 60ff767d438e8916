"""Devices that a job could run on, of open pools and of the table of peaks."""

from __future__ import annotations

from collections.abc import Collection

from engine.planner import advice
from engine.planner.advice import DeviceOption
from jobs.models import Pool, Team
from jobs.planning import calibration, plans
from jobs.pools import pool_settings

UNKNOWN_DEVICE = "Not available: its devices have not been probed, and no data sheet of them is known."


def get_device_options(teams: Collection[Team], max_devices: int) -> list[DeviceOption]:
    """Options for at most `max_devices` devices: each pool that takes jobs of one of the teams, by name, then every row
    of the table of peaks. Without teams every open pool counts."""
    pools = [
        pool
        for pool in pool_settings.pools_open_to(None)
        if not teams or any(pool_settings.is_allowed(pool, team) for team in teams)
    ]
    return [_pool_option(pool, max_devices) for pool in pools] + advice.options_from_peaks(max_devices)


def _pool_option(pool: Pool, max_devices: int) -> DeviceOption:
    profile = plans.get_profile(pool)
    return DeviceOption(
        title=profile.name if profile else "unknown device",
        pool=pool.name,
        profile=profile,
        calibration=calibration.get_calibration(profile.name) if profile else None,
        max_devices=min(max_devices, plans.max_devices_per_job(pool)),
        why_not="" if profile else UNKNOWN_DEVICE,
    )
