"""Learning policies and parameter groups: sections 4.1 and 4.1.2 and the authors' solver files."""

from typing import Any

from torch import nn

from replication.settings import Recipe

# Multipliers of the authors' network files: (learning rate, weight decay).
BODY_WEIGHT, BODY_BIAS = (1.0, 1.0), (2.0, 0.0)
LAST_WEIGHT, LAST_BIAS = (10.0, 1.0), (20.0, 0.0)


def learning_rate_factor(recipe: Recipe, iteration: int) -> float:
    """Return the factor on the base learning rate for update ``iteration`` (0-based).

    step: gamma ** floor(iteration / step_size); poly: (1 - iteration / iterations) ** power,
    recomputed at every update (section 4.1.2).
    """
    if recipe.policy == "step":
        return recipe.gamma ** (iteration // recipe.step_size)
    return float(max(0.0, 1 - iteration / recipe.iterations) ** recipe.power)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Group a network's parameters by their learning-rate and weight-decay multipliers.

    Weights 1 and biases 2; the last layer (``fc8``) 10 and 20; decay on weights only. Every
    parameter that is learned is in exactly one group; frozen batch norm is in none.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {
        key: [] for key in (BODY_WEIGHT, BODY_BIAS, LAST_WEIGHT, LAST_BIAS)
    }
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        last, bias = ".fc8." in f".{name}", name.endswith(".bias")
        key = (LAST_BIAS if bias else LAST_WEIGHT) if last else (BODY_BIAS if bias else BODY_WEIGHT)
        groups[key].append(parameter)
    return [
        {
            "params": parameters,
            "lr": recipe.base_lr * lr,
            "weight_decay": recipe.weight_decay * decay,
        }
        for (lr, decay), parameters in groups.items()
        if parameters
    ]
