import numpy as np
import pytest

from sklearn_prune.networks import require_finite


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3)])
def test_the_first_row_that_is_not_finite_is_named(shape):
    values = np.zeros(shape)
    require_finite("outputs", values)
    values[3], values[4] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"outputs must be finite; those of 2 of 5 .* row 3:"):
        require_finite("outputs", values)
