"""The CRF's parameters, and the settings that the authors and others published, by name.

Section 3.3 of the paper (equation 3): the pairwise term between pixels i and j is

    w1 exp(-|p_i - p_j|^2 / 2 sigma_alpha^2 - |I_i - I_j|^2 / 2 sigma_beta^2)
  + w2 exp(-|p_i - p_j|^2 / 2 sigma_gamma^2)          where the labels differ, else 0,

with positions p in pixels and colours I in grey levels, 0 to 255.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Normalization = Literal["after", "symmetric", "none", "before"]

Weight = Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)]
# Below a tenth no neighbour counts any more; above 10,000 every pixel of any image counts alike.
Width = Annotated[float, Field(ge=0.1, le=10_000, allow_inf_nan=False)]


Iterations = Annotated[int, Field(ge=0, le=1_000)]


class CrfParameters(BaseModel):
    """One setting of the fully connected CRF; unknown keys and values out of range are refused.

    Attributes:
        w1: weight of the bilateral kernel, 0 to 1,000.
        sigma_alpha: its width in space, pixels, 0.1 to 10,000.
        sigma_beta: its width in colour, grey levels, 0.1 to 10,000.
        w2: weight of the spatial kernel; the paper fixes 3.
        sigma_gamma: its width, pixels; the paper fixes 3.
        iterations: mean-field updates, 0 (the softmax alone) to 1,000; the paper uses 10.
        normalization: where the filtered ones divide: ``after`` filtering (the authors' program),
            ``before`` it, ``symmetric`` (the square root on both sides; pydensecrf's own
            default), or ``none``: the plain sum over all pixels, so that weights mean more the
            larger the widths are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    w1: Weight
    sigma_alpha: Width
    sigma_beta: Width
    w2: Weight = 3.0
    sigma_gamma: Width = 3.0
    iterations: Iterations = 10
    normalization: Normalization = "after"


@dataclass(frozen=True)
class Preset:
    """A published setting: its parameters, where it comes from, and what was not published."""

    parameters: CrfParameters
    source: str
    assumed: str | None = None


def _preset(
    w1: float,
    sigma_alpha: float,
    sigma_beta: float,
    spatial: tuple[float, float] | None,
    source: str,
) -> Preset:
    w2, sigma_gamma = spatial or (3.0, 3.0)
    return Preset(
        CrfParameters(
            w1=w1, sigma_alpha=sigma_alpha, sigma_beta=sigma_beta, w2=w2, sigma_gamma=sigma_gamma
        ),
        source,
        None if spatial else "w2 and sigma_gamma were not published: the paper's fixed 3 and 3",
    )


PRESETS: dict[str, Preset] = {
    "resnet_ports": _preset(
        4.0, 67.0, 3.0, (3.0, 1.0), "DeepLab v2 ResNet-101, used by public ports"
    ),
    "resnet_release": _preset(
        5.0, 21.0, 3.0, (4.0, 1.0), "DeepLab v2 ResNet-101, commented out in the authors' release"
    ),
    "vgg_aspp_release": _preset(
        4.0, 65.0, 3.0, (2.0, 2.0), "DeepLab v2 VGG-16 ASPP, the authors' release"
    ),
    "v1": _preset(5.0, 50.0, 10.0, (3.0, 3.0), "DeepLab v1, the authors' release"),
    "v1_multiscale": _preset(3.0, 95.0, 3.0, None, "DeepLab v1 multi-scale, the authors' release"),
    "v1_coco": _preset(5.0, 67.0, 3.0, None, "DeepLab v1 with COCO, the authors' release"),
}
"""All rows of the recipe's table; ten iterations and normalization ``after`` in each."""
