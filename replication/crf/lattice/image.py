"""One image in a CRF: its logits, lattices and buffers, shared by all settings tried on it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from replication.crf.lattice import labels
from replication.crf.lattice.buffers import Buffers
from replication.crf.lattice.kernel import Kernel, build_kernel, no_kernel
from replication.crf.lattice.order import hilbert_order


@dataclass(frozen=True)
class Play:
    """The labels in play, ascending, and their logits in planes; see `labels.compact`."""

    active: Int64[np.ndarray, " A"]
    planes: int
    logits: Float32[np.ndarray, " planes_N_8"]


class Image:
    """Unary potentials and an RGB image, made ready once for any number of parameters.

    Lattices are built when first asked for and kept: every spatial one, and the last bilateral one.
    Not to be shared between threads: calls use the same buffers.
    """

    def __init__(
        self,
        unary: Float32[np.ndarray, "C H W"],
        rgb: UInt8[np.ndarray, "H W 3"],
        buffers: Buffers | None = None,
    ) -> None:
        """Arrange ``unary``, -log P of 2 to 256 labels, finite, beside the raw uint8 image.

        ``buffers`` of an earlier image may be used again, once that image is done with.
        """
        self.classes, self.height, self.width = unary.shape
        self.pixels = self.height * self.width
        self.unary, self.rgb = unary, rgb
        self.order = hilbert_order(self.height, self.width)
        self.buffers = buffers or Buffers()
        planes = -(-self.classes // 8)
        self.logits = self.buffers.take("logits", planes * self.pixels * 8)
        peak = np.zeros(8 * planes, np.float32)
        flat = np.ascontiguousarray(unary, np.float32).ravel()
        labels.arrange(flat, self.order, self.logits, peak)
        self.peak: Float32[np.ndarray, " C"] = peak[: self.classes]
        self._spatial: dict[float, Kernel] = {}
        self._bilateral: tuple[tuple[float, float], Kernel] | None = None
        self._plays: dict[bytes, Play] = {}

    def spatial(self, sigma_gamma: float | None) -> Kernel:
        """Return the spatial lattice; one that says nothing for None."""
        if sigma_gamma is None:
            return no_kernel(self.pixels, 3)
        if sigma_gamma not in self._spatial:
            self._spatial[sigma_gamma] = build_kernel(self.rgb, sigma_gamma)
        return self._spatial[sigma_gamma]

    def bilateral(self, sigmas: tuple[float, float] | None) -> Kernel:
        """Return the bilateral lattice of (sigma_alpha, sigma_beta); likewise."""
        if sigmas is None:
            return no_kernel(self.pixels, 6)
        if self._bilateral is None or self._bilateral[0] != sigmas:
            self._bilateral = None  # let go of it first: memory
            self._bilateral = (sigmas, build_kernel(self.rgb, *sigmas))
        return self._bilateral[1]

    def play(self, active: Int64[np.ndarray, " A"]) -> Play:
        """Return the logits with only ``active`` labels in play; the last few are kept."""
        name = active.tobytes()
        if name not in self._plays:
            while len(self._plays) >= 3:
                self._plays.pop(next(iter(self._plays)))
            self._plays[name] = self._arrange(active)
        return self._plays[name]

    def _arrange(self, active: Int64[np.ndarray, " A"]) -> Play:
        if len(active) == self.classes:
            return Play(active, -(-self.classes // 8), self.logits)
        planes = len(active) // 8 + 1
        others = np.zeros(self.logits.size // self.pixels, np.float32)
        others[: self.classes] = 1
        others[active] = 0
        logits = np.empty(planes * self.pixels * 8, np.float32)
        labels.compact(self.logits, active, others, logits)
        return Play(active, planes, logits)
