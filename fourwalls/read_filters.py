"""Filters and orders of the read API, as the server writes them."""

from __future__ import annotations

from typing import Any

from fourwalls.read_records import ApiError

ORDERS = {"created_at": "created", "createdAt": "created"}


def order_text(order: str) -> str:
    """An order as the API writes it; '+' and W&B's prefixes are taken off."""
    text = order.strip()
    is_descending, name = text[:1] == "-", text.lstrip("+-")
    for prefix, own in (("summary_metrics.", ""), ("config.", "param:")):
        if name.startswith(prefix):
            name = own + name[len(prefix) :].removesuffix(".value")
    return ("-" if is_descending else "") + ORDERS.get(name, name) if name else ""


def filter_text(given: Any) -> str:
    """A filter as the API writes it, from its own text or from W&B's simple conditions by name."""
    if not given or isinstance(given, str):
        return str(given or "").strip()
    signs = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<=", "$ne": "!=", "$eq": "="}
    parts = []
    for key, condition in given.items():
        if key in ("$and", "$or"):
            joined = f" {key[1:]} ".join(f"({filter_text(one)})" for one in condition)
            parts.append(f"({joined})")
            continue
        name = key
        for prefix in ("summary_metrics.", "config."):
            name = name[len(prefix) :] if name.startswith(prefix) else name
        name = name.removesuffix(".value")
        for sign, value in condition.items() if isinstance(condition, dict) else (("$eq", condition),):
            if sign not in signs:
                raise ApiError(f"The condition {sign!r} is not known; write the filter as a text.")
            parts.append(f"{name} {signs[sign]} {quote_value(value)}")
    return " and ".join(parts)


def quote_value(value: Any) -> str:
    if isinstance(value, (bool, int, float)):
        return str(value).lower()
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
