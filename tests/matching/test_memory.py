"""Selections in a memory: what is loaded, what is chosen anew, and what is never kept."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris

import sklearn_prune._influence_pruner as pruner_module
from sklearn_prune import InfluencePruner
from sklearn_prune.matching import StageClock, recalled, usable_memory

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["one", "two", "three"])[Y]


@pytest.fixture
def chosen(monkeypatch):
    """A list that grows by one with each selection."""
    choose_rows, calls = pruner_module.choose_rows, []

    def counted(*args, **kwargs):
        calls.append(args)
        return choose_rows(*args, **kwargs)

    monkeypatch.setattr(pruner_module, "choose_rows", counted)
    return calls


def pruner(memory, **options):
    options = {"damping": 1e-2, "random_state": 0, "memory": str(memory)} | options
    return InfluencePruner(**options)


@pytest.mark.parametrize("reweight", [False, True])
def test_the_same_request_twice_is_chosen_once(tmp_path, chosen, reweight):
    first = pruner(tmp_path, reweight=reweight).fit(X, NAMES, groups=NAMES == "two")
    again = pruner(tmp_path, reweight=reweight, time_limit=5).fit(
        X.copy(), NAMES.copy(), groups=list(NAMES == "two")
    )
    assert len(chosen) == 1
    np.testing.assert_array_equal(again.support_, first.support_)
    costs = [fitted.certificate_.to_dict() | {"seconds": None} for fitted in (first, again)]
    assert costs[0] == costs[1]
    assert [name for name, _ in again.certificate_.seconds] == ["memory"]
    if reweight:
        np.testing.assert_array_equal(again.sample_weight_, first.sample_weight_)
    np.testing.assert_array_equal(
        again.select(prune_ratio=0.7), first.select(prune_ratio=0.7), strict=True
    )


@pytest.mark.parametrize(
    ("change", "params"),
    [
        ({"prune_ratio": 0.5}, {}),
        ({"quota": "equal"}, {}),
        ({"prune_ratio": "auto", "tolerance": 0.1}, {}),
        ({"distribution_weight": 0.5}, {}),
        ({"random_state": 1}, {}),
        ({"reweight": True}, {}),
        ({}, {"must_keep": np.arange(150) < 2}),
        ({}, {"must_drop": np.arange(150) < 2}),
        ({}, {"groups": np.arange(150) % 2}),
        ({}, {"sample_cost": np.arange(150)}),
    ],
)
def test_another_request_is_chosen_anew(tmp_path, chosen, change, params):
    pruner(tmp_path).fit(X, Y)
    kept = pruner(tmp_path, **change).fit(X, Y, **params)
    assert len(chosen) == 2
    anew = pruner(tmp_path, **change).set_params(memory=None).fit(X, Y, **params)
    np.testing.assert_array_equal(kept.support_, anew.support_)


def test_priorities_are_kept_whatever_weight_came_first(tmp_path, monkeypatch):
    pruner(tmp_path, distribution_weight=0.0).fit(X, Y)
    for module in ("matched", "training"):
        monkeypatch.setattr(f"sklearn_prune.matching.{module}.row_priorities", None)
    assert pruner(tmp_path).fit(X, Y).support_.sum() == 90


def test_a_selection_that_the_time_limit_cuts_is_not_kept(tmp_path, chosen):
    expected = InfluencePruner(damping=1e-2, random_state=0).fit(X, Y)
    with pytest.warns(UserWarning, match="time_limit=1e-09 seconds cut this fit short"):
        pruner(tmp_path, time_limit=1e-9).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        again = pruner(tmp_path).fit(X, Y)
    np.testing.assert_array_equal(again.support_, expected.support_)
    assert len(chosen) == 3


def test_a_seed_that_is_drawn_is_not_kept(tmp_path, chosen):
    for _ in range(2):
        pruner(tmp_path, random_state=np.random.RandomState(0)).fit(X, Y)
    assert len(chosen) == 2


def test_a_file_of_something_else_is_computed_anew(tmp_path):
    memory, clock = usable_memory(str(tmp_path)), StageClock()
    assert recalled(memory, "key", lambda: 1, int, clock) == (1, True)
    with pytest.warns(UserWarning, match="holds a int instead of a result"):
        assert recalled(memory, "key", lambda: "one", str, clock) == ("one", False)
    assert recalled(memory, "key", lambda: 2, int, clock) == (1, True)


def test_a_result_that_does_not_last_is_computed_each_time(tmp_path):
    memory, numbers = usable_memory(str(tmp_path)), iter(range(9))
    for expected in range(2):
        result, is_usable = recalled(
            memory, "key", lambda: next(numbers), int, StageClock(), is_lasting=lambda _: False
        )
        assert (result, is_usable) == (expected, True)


def test_an_os_error_of_the_computation_is_raised_and_not_computed_again(tmp_path):
    calls = []

    def read_features():
        calls.append(None)
        raise FileNotFoundError("features.npy")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FileNotFoundError, match=r"features\.npy"):
            recalled(usable_memory(str(tmp_path)), "key", read_features, int, StageClock())
    assert len(calls) == 1
