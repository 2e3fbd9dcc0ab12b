"""torch's convolution layer, which chooses a faster way on a CPU."""

import torch
from torch import Tensor, nn

from replication.models.convolve.fourier import fourier
from replication.models.convolve.ways import Shape, Way, choose_way


class Conv2d(nn.Conv2d):
    """A convolution: torch's own but where another way to the same result is faster.

    Parameters, names and arguments are torch's. On devices other than a CPU, in other precisions
    than float32 and autocast to bfloat16, and under torch.compile it is torch's own.
    """

    most = 2**26  # weights that torch's own way convolves at once on a CPU
    part = 1_024  # outputs of a part

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        way = self.way(input, weight)
        if way == "winograd":
            from replication.models.convolve.winograd import winograd  # takes numba

            return winograd(input, weight, bias, self.dilation[0])
        if way == "fourier":
            return fourier(input, weight, bias, self.dilation[0])
        if way == "taps":
            from replication.models.convolve.taps import taps

            dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
            shift = None if bias is None else bias.to(dtype)
            return taps(input.to(dtype), weight.to(dtype), shift, self.dilation[0])
        if weight.device.type == "cpu" and weight.numel() > self.most:
            return self._in_parts(input, weight, bias)
        result: Tensor = super()._conv_forward(input, weight, bias)
        return result

    def way(self, input: Tensor, weight: Tensor) -> Way:
        """Return how a map (B, C, h, w) is convolved."""
        kernel, rate = self.kernel_size[0], self.dilation[0]
        reach = rate * (kernel - 1)
        half = torch.is_autocast_enabled("cpu")
        if half:  # torch's own is as fast where nothing is learned
            bfloat16 = torch.get_autocast_dtype("cpu") == torch.bfloat16
            fits = bfloat16 and torch.is_grad_enabled() and input.dtype != torch.float64
        else:
            fits = input.dtype == torch.float32
        ours = (
            fits
            and input.device.type == weight.device.type == "cpu"
            and weight.dtype == torch.float32
            and not torch.compiler.is_compiling()
            and self.groups == 1
            and self.stride == (1, 1)
            and self.kernel_size == (kernel, kernel)
            and self.dilation == (rate, rate)
            and self.padding_mode == "zeros"
            and self.padding == (reach // 2, reach // 2)
            and reach % 2 == 0
        )
        if not ours:
            return "direct"
        images, inputs, height, width = input.shape
        return choose_way(
            Shape(images, height, width, inputs, len(weight), kernel, rate), half=half
        )

    def _in_parts(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute the outputs in parts.

        oneDNN has no fast gradient of 7 x 7 x 512 x 4,096 weights: its fallback took 40 minutes for
        an update of table 1's first network that takes 8 in parts.
        """
        filters = torch.split(weight, self.part)
        shifts = [None] * len(filters) if bias is None else torch.split(bias, self.part)
        convolve = super()._conv_forward
        parts = (convolve(input, *part) for part in zip(filters, shifts, strict=True))
        return torch.cat(list(parts), dim=1)
