"""YAML without aliases and of bounded depth.

With aliases, a file of a few lines can become a value of gigabytes.
"""

from __future__ import annotations

from typing import Any

import yaml

from engine.spec.yaml_events import LOADER

DEPTH = 20


class PlainYamlError(ValueError):
    """A text is no YAML, or uses what may not be used; the message gives the reason."""


def load_plain_yaml(text: str) -> Any:
    """The value of a text; None for an empty one. Raises PlainYamlError."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if isinstance(event, yaml.AliasEvent):
                raise PlainYamlError("it uses an alias (*), which is not accepted")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH:
                raise PlainYamlError(f"it is nested deeper than {DEPTH} levels")
        return yaml.load(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise PlainYamlError(" ".join(str(error).split())[:200]) from None
    except (ValueError, OverflowError, RecursionError, TypeError) as error:
        raise PlainYamlError(str(error)[:200]) from None
