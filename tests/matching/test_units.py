"""The unit of a change."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sklearn_prune.matching.units import in_unit_of, length_in, single_row_changes


@pytest.mark.parametrize(("norm", "change"), [("loss", 4.5), ("parameter", 3.0)])
def test_a_change_and_its_length_are_inverse(norm, change):
    assert in_unit_of(norm, 3.0) == change
    assert length_in(norm)(change) == pytest.approx(3.0)


@pytest.mark.parametrize(("norm", "expected"), [("parameter", [4, np.inf]), ("loss", [8, np.inf])])
def test_a_row_alone_moves_by_its_length_and_the_size_factor(norm, expected):
    influence = SimpleNamespace(
        norm=norm,
        sample_weight=np.array([1.0, 2.0]),
        weight_sum=2.0,
        row_norms=lambda: np.array([2.0, 1.0]),
    )
    np.testing.assert_allclose(single_row_changes(influence), expected)
