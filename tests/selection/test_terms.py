"""Counts of rows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sklearn_prune import InfeasibleProblemError
from sklearn_prune.selection.terms import (
    Request,
    RowTerms,
    count_of,
    count_problem,
    counted_request,
    drop_first,
    drop_weightless,
    make_problem,
    make_terms,
)

RATIO = Request(0.5, None, "class")
FATES = ["keep", "drop", "free", "free", "free"]
labels = st.lists(st.integers(0, 4), min_size=5, max_size=60).map(np.array)


def dropped_counts(terms: RowTerms, request: Request) -> dict[Any, int]:
    problem = make_problem(np.zeros((terms.n_samples, 1)), terms, request)
    return dict(zip(terms.names, problem.dropped_counts(problem.n_drop).tolist(), strict=True))


@pytest.mark.parametrize(
    ("share", "n_samples", "count"),
    [(0.4, 10, 4), (0.25, 10, 2), (0.35, 10, 3), (0.26, 10, 3), (0, 9, 0)],
)
def test_counts_are_rounded_with_a_half_downward(share, n_samples, count):
    assert count_of(share, n_samples) == count


@given(st.floats(0, 1, exclude_max=True), st.integers(2, 10**6), st.integers(0, 50))
def test_the_ratio_named_in_the_error_is_one_that_works(ratio, n_samples, n_classes):
    assume(n_classes <= n_samples)
    none = np.zeros(0, dtype=bool)
    terms = RowTerms(n_samples, None, tuple(range(n_classes)), None, (), none, none)
    try:
        n_drop = Request(ratio, None, "class").n_drop(terms)
    except ValueError as error:
        named = float(re.split("lower it to |set it to ", str(error))[1].split()[0].rstrip(","))
        assert named < ratio
        n_drop = Request(named, None, "class").n_drop(terms)
    assert n_samples - n_drop >= max(1, n_classes)


@given(labels, st.floats(0, 0.99), st.sampled_from(["class", "equal", None]))
def test_no_class_loses_all_its_rows(classes, ratio, quota):
    n_classes = len(np.unique(classes))
    assume(len(classes) - count_of(ratio, len(classes)) >= n_classes)
    terms = make_terms(len(classes), classes)
    problem = make_problem(np.zeros((len(classes), 1)), terms, Request(ratio, None, quota))
    assert (problem.kept_range.low >= 1).all()
    assert problem.dropped_counts(problem.n_drop).sum() == count_of(ratio, len(classes))


@given(labels, st.data())
def test_no_class_vanishes_where_pairs_outnumber_the_rows_kept(classes, data):
    groups = np.arange(len(classes))
    n_classes = len(np.unique(classes))
    assume(n_classes < len(classes))
    n_keep = data.draw(st.integers(n_classes, len(classes) - 1))
    terms = make_terms(len(classes), classes, groups=groups)
    request = Request(1 - n_keep / len(classes), None, "class")
    dropped = dropped_counts(terms, request)
    kept = [
        label for label, group in zip(classes, groups, strict=True) if not dropped[label, group]
    ]
    assert set(kept) == set(classes)
    assert len(kept) == n_keep


def test_quotas_hold_for_pairs_of_class_and_group():
    classes, groups = np.repeat(["a", "b"], 20), np.tile(["u", "v"], 20)
    dropped = dropped_counts(make_terms(40, classes, groups=groups), RATIO)
    assert dropped == {("a", "u"): 5, ("a", "v"): 5, ("b", "u"): 5, ("b", "v"): 5}


def test_a_dict_names_pairs():
    classes, groups = np.repeat(["a", "b"], 20), np.tile(["u", "v"], 20)
    request = Request(0.5, None, {("a", "u"): 8, ("b", "v"): 0.2})
    dropped = dropped_counts(make_terms(40, classes, groups=groups), request)
    assert dropped["a", "u"] == 2
    assert dropped["b", "v"] == 8


def test_a_range_never_reaches_down_to_zero():
    terms = make_terms(20, np.repeat([0, 1], 10))
    problem = make_problem(np.zeros((20, 1)), terms, Request(0.5, None, {0: (0, 3)}))
    assert problem.kept_range.low.tolist() == [1, 1]
    assert problem.kept_range.high.tolist() == [3, 10]


def test_groups_alone_are_strata_of_a_regression():
    terms = make_terms(20, None, groups=np.repeat(["u", "v"], [5, 15]))
    assert dropped_counts(terms, Request(0.4, None, "class")) == {"u": 2, "v": 6}


def test_of_the_rows_that_should_go_the_highest_go_first_in_each_class():
    classes = np.repeat([0, 1], 10)
    hardness = np.r_[np.arange(10), np.arange(10) + 100.0]
    terms = drop_first(make_terms(20, classes), RATIO, np.ones(20, dtype=bool), hardness)
    assert np.flatnonzero(terms.must_drop).tolist() == [*range(5, 10), *range(15, 20)]
    terms = drop_first(make_terms(20, classes), RATIO, np.arange(20) < 3, hardness)
    assert np.flatnonzero(terms.must_drop).tolist() == [0, 1, 2]


def test_rows_that_must_stay_are_spared():
    terms = make_terms(20, np.repeat([0, 1], 10), must_keep=np.arange(20) == 9)
    terms = drop_first(terms, RATIO, np.ones(20, dtype=bool), np.arange(20.0))
    assert np.flatnonzero(terms.must_drop).tolist() == [*range(4, 9), *range(15, 20)]


def test_dropping_first_leaves_a_row_of_each_class_for_a_tolerance():
    terms = make_terms(6, np.repeat([0, 1], 3))
    request = Request("auto", 1.0, "class")
    terms = drop_first(terms, request, np.ones(6, dtype=bool), np.arange(6.0))
    assert np.flatnonzero(~terms.must_drop).tolist() == [0, 3]


@pytest.mark.parametrize(
    ("prune_ratio", "tolerance", "message"),
    [
        ("auto", None, "'auto' drops as many rows as tolerance allows, .* set tolerance, or give"),
        (0.4, 0.1, "prune_ratio=0.4 fixes .* tolerance=0.1 .* set prune_ratio='auto' or"),
    ],
)
def test_a_ratio_and_a_tolerance_exclude_each_other(prune_ratio, tolerance, message):
    with pytest.raises(ValueError, match=message):
        Request(prune_ratio, tolerance, "class")


def refused(terms: RowTerms, request: Request, message: str) -> None:
    with pytest.raises(InfeasibleProblemError, match=message):
        make_problem(np.zeros((terms.n_samples, 1)), terms, request)


@pytest.mark.parametrize("quota", ["class", "equal", None])
def test_rows_that_must_stay_leave_room_for_every_class(quota):
    classes = np.repeat(["a", "b", "c"], 20)
    terms = make_terms(60, classes, must_keep=np.arange(60) < 12)
    refused(
        terms,
        Request(0.8, None, quota),
        "must_keep takes 12 of the 12 rows that prune_ratio=0.8 keeps, which leaves 0 for classes "
        "'b', 'c'; lower prune_ratio to 0.76 or less, or free 2 rows of must_keep",
    )
    assert dropped_counts(terms, Request(0.76, None, quota)) == {"a": 8, "b": 19, "c": 19}


@given(labels, st.data())
def test_no_class_vanishes_whatever_must_stay_or_go(classes, data):
    n, fates = len(classes), st.sampled_from(["keep", "drop", "free", "free"])
    fate = np.array(data.draw(st.lists(fates, min_size=n, max_size=n)))
    groups = data.draw(st.sampled_from([None, np.arange(n) % 2, np.arange(n)]))
    terms = make_terms(
        n, classes, groups=groups, must_keep=fate == "keep", must_drop=fate == "drop"
    )
    ratio, quota = data.draw(st.floats(0, 0.99)), data.draw(st.sampled_from(["class", None]))
    try:
        problem = make_problem(np.zeros((n, 1)), terms, Request(ratio, None, quota))
    except ValueError:
        return
    kept = problem.count(np.ones(n, dtype=bool)) - problem.dropped_bounds(problem.n_drop)[1]
    for label in np.unique(classes):
        assert kept[np.unique(problem.groups[classes == label])].sum() >= 1


def test_a_class_lives_on_in_the_stratum_that_may_stay():
    # The largest stratum of "a" must go.
    classes, groups = np.repeat(["a", "b"], 20), np.repeat(["u", "v", "u", "v"], [15, 5, 10, 10])
    terms = make_terms(40, classes, groups=groups, must_drop=np.arange(40) < 15)
    dropped = dropped_counts(terms, Request(0.5, None, {("b", "u"): 9}))
    assert dropped["a", "u"] == 15
    assert dropped["a", "v"] < 5
    assert dropped["b", "u"] == 1


def test_what_the_user_names_is_not_widened():
    classes, groups = np.repeat(["a", "b"], 20), np.repeat(["u", "v", "u", "v"], [15, 5, 10, 10])
    terms = make_terms(40, classes, groups=groups)
    request = Request(0.5, None, {("a", "u"): (2, 3)})
    assert 12 <= dropped_counts(terms, request)["a", "u"] <= 13


def test_pairs_are_told_apart_however_they_are_written():
    classes = np.array(["a", "a / b", "a", "a / b"])
    terms = make_terms(4, classes, groups=["b / c", "c", "b / c", "c"])
    assert terms.names == (("a", "b / c"), ("a / b", "c"))
    mixed = make_terms(4, None, groups=[1, "1", 1, "1"])
    assert set(mixed.names) == {1, "1"}
    assert np.bincount(mixed.strata).tolist() == [2, 2]


@pytest.mark.parametrize("share", [np.float32(0.5), np.float64(0.5), 0.5, np.int64(5), 5])
def test_quotas_may_be_numpy_scalars(share):
    terms = make_terms(20, np.repeat([0, 1], 10))
    assert dropped_counts(terms, Request(0.5, None, {0: share})) == {0: 5, 1: 5}


def test_a_share_of_numpy_cannot_make_a_class_vanish():
    terms = make_terms(20, np.repeat([0, 1], 10))
    refused(terms, Request(0.5, None, {0: np.float32(0.01)}), "keeps none of its 10 rows")


@pytest.mark.parametrize("request_", [RATIO, Request("auto", 1.0, "class")])
def test_some_weight_stays(request_):
    weight = np.r_[np.ones(5), np.zeros(15)]
    terms = make_terms(20, np.tile([0, 1], 10), sample_weight=weight, must_drop=weight > 0)
    refused(terms, request_, "some sample weight must stay; must_drop takes all of it")


def test_rows_of_weight_zero_that_must_stay_leave_a_place_for_weight():
    weight = np.r_[np.ones(5), np.zeros(15)]
    terms = make_terms(20, None, sample_weight=weight, must_keep=np.arange(20) >= 10)
    refused(
        terms,
        RATIO,
        "the 5 rows of positive sample_weight .* takes 0, and must_keep and the quotas leave no",
    )


def test_dropping_first_leaves_what_a_quota_keeps():
    terms = make_terms(60, np.repeat(["a", "b", "c"], 20))
    request = Request("auto", 10.0, {"a": (15, 20)})
    terms = drop_first(terms, request, np.ones(60, dtype=bool), np.arange(60.0))
    assert np.bincount(terms.strata[terms.must_drop]).tolist() == [5, 19, 19]


def test_rows_of_weight_zero_that_are_dear_to_lose_are_not_pushed():
    cost = np.r_[-np.ones(3), np.zeros(17)]
    terms = make_terms(20, None, sample_weight=np.arange(20) // 6, sample_cost=cost)
    request = Request("auto", 1.0, None)
    terms = drop_weightless(terms, request)
    assert np.flatnonzero(terms.must_drop).tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (
            [1.0, 2.0],
            r"sample_cost must have shape \(4,\), one number per row; it has shape \(2,\)",
        ),
        (
            [0, 1, np.nan, 3],
            "sample_cost must not be missing or infinite; .* the first in row 2",
        ),
        (
            [np.inf, 1, 2, 3],
            "sample_cost must not be missing or infinite; .* the first in row 0",
        ),
    ],
)
def test_a_cost_that_is_no_number_a_row_is_refused_by_its_own_name(cost, message):
    with pytest.raises(ValueError, match=message):
        make_terms(4, None, sample_cost=cost)


@pytest.mark.parametrize("ratio", [0.5, 0.75])
def test_no_ratio_is_named_where_must_drop_takes_all_rows(ratio):
    terms = make_terms(4, None, must_drop=np.ones(4, dtype=bool))
    with pytest.raises(InfeasibleProblemError, match="must stay, and must_drop takes all 4"):
        count_problem(terms, Request(ratio, None, None))


@pytest.mark.parametrize("quota", [{}, None])
def test_an_empty_quota_asks_for_nothing(quota):
    problem = count_problem(make_terms(4, None), Request(0.5, None, quota))
    assert problem.n_drop == 2


@given(labels, st.data())
def test_counts_alone_say_what_the_rows_say(classes, data):
    n = len(classes)
    fates = np.array(data.draw(st.lists(st.sampled_from(FATES), min_size=n, max_size=n)))
    groups = data.draw(st.sampled_from([None, np.arange(n) % 2]))
    terms = make_terms(
        n, classes, groups=groups, must_keep=fates == "keep", must_drop=fates == "drop"
    )
    request = Request(0.5, None, data.draw(st.sampled_from(["class", "equal", None])))
    try:
        problem = count_problem(terms, request)
    except ValueError as error:
        with pytest.raises(type(error), match=re.escape(str(error))):
            counted_request(terms.counts(), request)
        return
    counted = counted_request(terms.counts(), request)
    assert counted.n_drop == problem.n_drop
    np.testing.assert_array_equal(counted.kept_range.low, problem.kept_range.low)
    np.testing.assert_array_equal(counted.kept_range.high, problem.kept_range.high)
    sizes = problem.count(np.ones(n, dtype=bool))
    np.testing.assert_array_equal(counted.counts.sizes, sizes)
