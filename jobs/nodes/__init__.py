"""Nodes and devices: joining, inventory, faults and admin actions."""
