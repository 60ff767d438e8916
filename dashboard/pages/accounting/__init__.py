"""Accounting page: costs and use of devices."""
