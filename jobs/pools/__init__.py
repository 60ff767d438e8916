"""Pools: settings, limits and quotas."""
