"""The table of a retraining check."""

from __future__ import annotations

from sklearn_prune.inspection import retraining_check


def test_table_has_a_line_for_each_quantity(cancer, cancer_pruner, cancer_checks):
    text = repr(cancer_checks[-1])
    assert "341 of 426 rows dropped (80.0%)" in text
    for name in ("loss change", "parameter change", "train gap", "test gap"):
        assert f"  {name} " in text
    X, _, y, _ = cancer
    assert "test gap" not in repr(retraining_check(cancer_pruner, X, y))
