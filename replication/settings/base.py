"""What all settings share: strict models, and names and numbers that have limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Names of profiles and runs become names of folders and of DVC's stages.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
# torch's generator on the CPU reads 32 bits of a seed: two larger ones could be the same.
Seed = Annotated[int, Field(ge=0, lt=2**31)]

# A profile's factors; beyond, products are no numbers any more.
Factor = Annotated[float, Field(gt=0, le=1e6)]


class Strict(BaseModel):
    """No unknown key, no conversion of types, no change afterwards, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
