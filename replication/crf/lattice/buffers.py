"""Large arrays that are kept between calls: allocating and zeroing them costs as much as a blur."""

import numpy as np
from jaxtyping import Float32


class Buffers:
    """Flat float32 arrays by name, enlarged when asked for more than there is."""

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}

    def take(self, name: str, size: int) -> Float32[np.ndarray, " size"]:
        """Return ``size`` values of buffer ``name``, whatever they hold; earlier ones are lost."""
        array = self._arrays.get(name)
        if array is None or array.size < size:
            self._arrays.pop(name, None)  # before the new one is allocated
            array = self._arrays[name] = np.empty(size + size // 8, np.float32)
        return array[:size]

    def zeros(self, name: str, size: int) -> Float32[np.ndarray, " size"]:
        """Return ``size`` zeros of buffer ``name``; earlier ones are lost."""
        array = self.take(name, size)
        array.fill(0)
        return array
