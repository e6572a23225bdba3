"""The array types of this room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]
Counts = NDArray[np.int64]
Booleans = NDArray[np.bool_]
