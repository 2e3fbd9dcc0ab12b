"""A network's parameters, its operations an image in training, and what GPUs do a second."""

from typing import Any

from workload import classes

# Dense bfloat16 by the makers' data sheets, operations a second.
PEAKS = {
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
}


def parameters(plan: Any) -> int:
    """Count the network's weights, biases, scales and shifts, on shapes alone."""
    import torch

    from replication.models.deeplab import DeepLab

    with torch.device("meta"):
        return DeepLab(plan, classes(plan)).num_parameters()


def flops_an_image(plan: Any) -> float:
    """Count the multiplications and additions of forward and backward, on shapes alone."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from replication.models.deeplab import DeepLab

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        images = torch.zeros(1, 3, plan.profile.crop, plan.profile.crop)
        sum(scores.sum() for scores in DeepLab(plan, classes(plan)).branches(images)).backward()
    return float(counter.get_total_flops())
