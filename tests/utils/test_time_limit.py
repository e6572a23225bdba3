"""A time limit that work far down looks at."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_prune.utils import OutOfTimeError, check_time, time_limited


def test_only_a_limit_that_has_passed_raises():
    check_time()
    with time_limited(np.inf):
        check_time()
    with pytest.raises(OutOfTimeError), time_limited(-np.inf):
        check_time()


def test_the_limit_ends_with_its_block():
    with pytest.raises(RuntimeError, match="something else"), time_limited(-np.inf):
        raise RuntimeError("something else")
    check_time()


def test_an_inner_limit_holds_inside_alone():
    with time_limited(-np.inf):
        with time_limited(np.inf):
            check_time()
        with pytest.raises(OutOfTimeError):
            check_time()
