"""Base class of the parts of a spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class SpecPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


# Strict parsing keeps `true` from becoming 1. Floats are lax, because YAML reads 3e-4 as text and 1 as an integer.
Real = Annotated[float, Field(strict=False)]
