"""The solver against enumeration of all subsets, and on problems too large to enumerate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint

from sklearn_prune.selection import InfeasibleProblemError, SelectionProblem, solve
from tests.selection.brute_force import changes, feasible_subsets


@st.composite
def small_problems(draw, form):
    """Problems of up to eight rows with masks, quotas, weights and a linear row in play."""
    n = draw(st.integers(2, 8))
    k = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    Z = rng.standard_normal((n, k)) * 10.0 ** draw(st.integers(-3, 3))
    options = {}
    if form == "cardinality":
        options["n_drop"] = draw(st.integers(0, n - 1))
    else:
        options["tolerance"] = float(draw(st.floats(0.05, 1.5)) * np.linalg.norm(Z, axis=1).mean())
    if draw(st.booleans()):
        options["groups"] = rng.integers(0, 3, n)
        options["quota"] = draw(st.sampled_from(["proportional", "equal", "range"]))
        if options["quota"] == "range":
            label = int(options["groups"][0])
            size = int((options["groups"] == label).sum())
            options["quota"] = {label: (0, draw(st.integers(0, size)))}
    if draw(st.booleans()):
        options["must_keep"] = np.arange(n) == n - 1
    if draw(st.booleans()):
        options["must_drop"] = np.arange(n) == 0
    if draw(st.booleans()):
        options["sample_weight"] = rng.choice([0.0, 0.5, 1.0, 4.0], n)
    if draw(st.booleans()):
        options["constraints"] = LinearConstraint(rng.integers(-2, 3, (1, n)), -1, n)
    return Z, options


def build(Z, options):
    """Return the problem, or None where the drawn options contradict each other."""
    try:
        problem = SelectionProblem(Z, **options)
    except InfeasibleProblemError:
        return None, None
    subsets = feasible_subsets(problem)
    if problem.tolerance is not None:
        factor = np.array([problem.size_factor(w) for w in subsets])
        inside = np.isfinite(factor)
        subsets, factor = subsets[inside], factor[inside]
        subsets = subsets[factor * changes(Z, subsets) <= problem.tolerance]
    return problem, subsets


def solved(drawn):
    """Return the problem, its allowed sets and the answer; all None where none is allowed."""
    problem, subsets = build(*drawn)
    if problem is not None and len(subsets):
        return problem, subsets, solve(problem, random_state=0)
    if problem is not None:
        with pytest.raises(InfeasibleProblemError):
            solve(problem, random_state=0)
    return None, None, None


@settings(max_examples=35, deadline=None)
@given(small_problems("cardinality"))
def test_smallest_change_equals_enumeration(drawn):
    problem, subsets, selection = solved(drawn)
    if problem is None:
        return
    Z, _ = drawn
    best = changes(Z, subsets).min()
    assert problem.is_feasible(selection.drop)
    if problem.sample_weight.std() == 0:
        assert selection.certificate.status == "optimal"
    typical = np.linalg.norm(Z, axis=1).mean()
    assert selection.certificate.objective == pytest.approx(best, rel=1e-3, abs=1e-6 * typical)
    assert selection.certificate.lower_bound <= best * (1 + 1e-9) + 1e-6 * typical


@settings(max_examples=40, deadline=None)
@given(small_problems("generalization"))
def test_largest_set_within_the_tolerance_equals_enumeration(drawn):
    problem, subsets, selection = solved(drawn)
    if problem is None:
        return
    certificate = selection.certificate
    assert problem.is_feasible(selection.drop)
    assert selection.drop.sum() == subsets.sum(axis=1).max()
    assert certificate.change <= problem.tolerance * (1 + 1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 10))
def test_cost_is_maximised_within_the_tolerance(seed, n):
    rng = np.random.default_rng(seed)
    Z, cost = rng.standard_normal((n, 2)), rng.random(n)
    problem = SelectionProblem(Z, tolerance=1.0, cost=cost)
    _, subsets = build(Z, {"tolerance": 1.0})
    selection = solve(problem, random_state=0)
    best = (subsets @ cost).max()
    assert problem.saving(selection.drop) == pytest.approx(best, abs=1e-6)
    assert selection.certificate.saving_bound >= best - 1e-6


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 8))
def test_change_comes_first_and_cost_second(seed, n):
    rng = np.random.default_rng(seed)
    Z, cost = rng.standard_normal((n, 2)), rng.random(n)
    m = n // 2
    best = solve(SelectionProblem(Z, n_drop=m), random_state=0)
    rich = solve(SelectionProblem(Z, n_drop=m, cost=cost), random_state=0)
    subsets = feasible_subsets(SelectionProblem(Z, n_drop=m))
    allowed = changes(Z, subsets) <= 1.5 * best.certificate.objective * (1 - 1e-6)
    assert rich.certificate.objective <= 1.5 * best.certificate.objective + 1e-5
    assert rich.drop @ cost >= (subsets[allowed] @ cost).max(initial=0.0) - 1e-6


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-12, 1e-9, 1.0, 1e12]))
def test_scale_of_the_rows_does_not_matter(seed, scale):
    Z = np.random.default_rng(seed).standard_normal((200, 5))
    unscaled = solve(SelectionProblem(Z, n_drop=120), random_state=0)
    scaled = solve(SelectionProblem(scale * Z, n_drop=120), random_state=0)
    ratio = scaled.certificate.objective / scale / unscaled.certificate.random_objective
    assert ratio < 0.02


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(40, 300),
    st.floats(0.05, 0.95),
    st.sampled_from([None, "proportional", "equal"]),
)
def test_larger_problems_meet_every_count_and_mask(seed, n, ratio, quota):
    rng = np.random.default_rng(seed)
    Z, groups = rng.standard_normal((n, 6)), rng.integers(0, 4, n)
    keep, drop = np.arange(n) < 2, np.arange(n) >= n - 2
    problem = SelectionProblem(
        Z,
        n_drop=int(ratio * (n - 4)) + 2,
        groups=groups,
        quota=quota,
        must_keep=keep,
        must_drop=drop,
    )
    selection = solve(problem, random_state=0)
    assert problem.is_feasible(selection.drop)
    assert selection.certificate.objective == pytest.approx(
        float(np.linalg.norm(Z[selection.drop].sum(axis=0)))
    )
    assert selection.certificate.lower_bound <= selection.certificate.objective


def test_same_seed_gives_the_same_set():
    Z = np.random.default_rng(0).standard_normal((600, 10))
    first, second = (solve(SelectionProblem(Z, n_drop=450), random_state=7) for _ in range(2))
    np.testing.assert_array_equal(first.drop, second.drop)


def test_far_better_than_random_rows():
    Z = np.random.default_rng(0).standard_normal((2000, 15))
    selection = solve(SelectionProblem(Z, n_drop=1800), random_state=0)
    assert selection.certificate.share_of_random < 0.03


def test_large_tolerance_form_comes_close_to_its_bound():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((2000, 8)) * rng.exponential(size=(2000, 1))
    Z -= Z.mean(axis=0)
    tolerance = 30 * np.linalg.norm(Z, axis=1).mean()
    selection = solve(SelectionProblem(Z, tolerance=tolerance), random_state=0)
    certificate = selection.certificate
    assert certificate.change <= tolerance
    assert selection.drop.sum() <= certificate.saving_bound
    assert certificate.gap < 0.01


def test_a_tolerance_above_one_row_drops_something():
    Z = np.random.default_rng(0).standard_normal((60, 40))
    Z -= Z.mean(axis=0)
    selection = solve(SelectionProblem(Z, tolerance=8.0), random_state=0)
    assert selection.drop.any()
    assert selection.certificate.change <= 8.0


def test_rows_that_weigh_nothing_can_all_go_but_not_all_weight():
    rng = np.random.default_rng(0)
    weight = np.r_[np.zeros(2), np.ones(10)]
    Z = rng.standard_normal((12, 2)) * weight[:, None]
    Z[2:] -= Z[2:].mean(axis=0)
    problem = SelectionProblem(Z, tolerance=1e-3, sample_weight=weight)
    selection = solve(problem, random_state=0)
    assert selection.drop[:2].all()
    assert weight[~selection.drop].sum() > 0


def test_weights_widen_the_gap_by_the_smallest_size_factor():
    rng = np.random.default_rng(3)
    weight = rng.uniform(0.1, 10, 14)
    Z = rng.standard_normal((14, 3)) * weight[:, None]
    problem = SelectionProblem(Z, n_drop=7, sample_weight=weight)
    certificate = solve(problem, random_state=0).certificate
    subsets = feasible_subsets(problem)
    best = min(problem.size_factor(w) * problem.change(w) for w in subsets)
    assert certificate.change * (1 - certificate.gap) <= best * (1 + 1e-6)


def test_a_tolerance_just_below_a_row_ends_soon():
    Z = np.random.default_rng(0).standard_normal((10, 10))
    change = 10 / 9 * np.linalg.norm(Z, axis=1).min()
    selection = solve(SelectionProblem(Z, tolerance=change * (1 - 1e-7)), random_state=0)
    assert selection.certificate.status != "time limit"


def test_unmet_quota_under_a_tolerance_is_infeasible():
    Z = np.random.default_rng(0).standard_normal((36, 3))
    groups = np.repeat(["a", "b", "c"], 12)
    problem = SelectionProblem(Z, tolerance=1e-12, groups=groups, quota={"a": 5})
    with pytest.raises(InfeasibleProblemError, match="smallest change found"):
        solve(problem, random_state=0)


def test_a_range_lets_the_count_of_a_group_move():
    rng = np.random.default_rng(0)
    Z, groups = rng.standard_normal((200, 60)), rng.integers(0, 2, 200)
    # Every row of group 0 that goes leaves its mean behind; few of them should go.
    Z[groups == 0] += 0.3
    size = int((groups == 0).sum())
    problem = SelectionProblem(Z, n_drop=100, groups=groups, quota={0: (5, size)})
    fixed = SelectionProblem(Z, n_drop=100, groups=groups, quota="proportional")
    moved, held = (solve(p, random_state=0) for p in (problem, fixed))
    assert problem.is_feasible(moved.drop)
    assert problem.count(moved.drop)[0] < problem.count(held.drop)[0]
    assert moved.certificate.objective < 0.9 * held.certificate.objective


def test_a_start_is_improved_and_must_be_feasible():
    Z = np.random.default_rng(0).standard_normal((500, 20))
    problem = SelectionProblem(Z, n_drop=300)
    start = np.arange(500) < 300
    selection = solve(problem, start=start, random_state=0)
    assert selection.certificate.objective < problem.change(start)
    with pytest.raises(ValueError, match="start must be"):
        solve(problem, start=~start, random_state=0)


def test_tolerance_of_zero_keeps_everything():
    Z = np.random.default_rng(0).standard_normal((40, 4))
    selection = solve(SelectionProblem(Z, tolerance=0.0), random_state=0)
    assert not selection.drop.any()
    assert selection.certificate.status == "nothing to drop"
    assert selection.certificate.smallest_reachable > 0


def test_linear_rows_hold_on_large_problems():
    rng = np.random.default_rng(0)
    Z, age = rng.standard_normal((1000, 5)), rng.uniform(20, 80, 1000)
    # The mean age of what is dropped stays within a year of 50.
    rows = LinearConstraint(np.vstack([age - 49, age - 51]), [0, -np.inf], [np.inf, 0])
    problem = SelectionProblem(Z, n_drop=700, constraints=rows)
    selection = solve(problem, random_state=0)
    assert problem.is_feasible(selection.drop)
    assert 49 <= age[selection.drop].mean() <= 51
    assert selection.certificate.share_of_random < 0.1


def test_infeasible_linear_row_is_named_with_its_nearest_value():
    Z = np.random.default_rng(0).standard_normal((60, 3))
    row = LinearConstraint(np.ones((1, 60)), 50, np.inf)
    with pytest.raises(InfeasibleProblemError, match=r"row 0 .* nearest value .* is 40"):
        solve(SelectionProblem(Z, n_drop=40, constraints=row), random_state=0)


def test_must_drop_beyond_the_tolerance_is_infeasible():
    Z = np.random.default_rng(0).standard_normal((60, 3))
    problem = SelectionProblem(Z, tolerance=1e-6, must_drop=np.arange(60) == 5)
    with pytest.raises(InfeasibleProblemError, match="must_drop alone cost"):
        solve(problem, random_state=0)


def test_time_limit_returns_a_feasible_set():
    Z = np.random.default_rng(0).standard_normal((20_000, 100))
    problem = SelectionProblem(Z, n_drop=18_000)
    selection = solve(problem, time_limit=0.01, random_state=0)
    assert problem.is_feasible(selection.drop)
    assert selection.certificate.status == "time limit"


def test_duplicated_and_zero_rows_are_harmless():
    Z = np.repeat(np.random.default_rng(0).standard_normal((50, 3)), 4, axis=0)
    Z[::7] = 0.0
    selection = solve(SelectionProblem(Z, n_drop=150), random_state=0)
    assert selection.drop.sum() == 150


def test_all_zero_rows_cost_nothing():
    selection = solve(SelectionProblem(np.zeros((50, 3)), n_drop=20), random_state=0)
    assert selection.drop.sum() == 20
    assert selection.certificate.objective == 0.0


def test_linear_rows_of_any_scale_are_kept():
    rng = np.random.default_rng(0)
    Z, age = rng.standard_normal((12, 5)), np.random.default_rng(0).uniform(20, 80, 12)
    for scale in (1e-13, 1e-9, 1.0, 1e9):
        rows = LinearConstraint(scale * np.vstack([age - 49, age - 51]), [0, -np.inf], [np.inf, 0])
        problem = SelectionProblem(Z, n_drop=6, constraints=rows)
        try:
            selection = solve(problem, random_state=0)
        except InfeasibleProblemError:
            assert len(feasible_subsets(problem)) == 0
            continue
        assert problem.is_feasible(selection.drop)
        assert 49 <= age[selection.drop].mean() <= 51


def test_rows_that_must_go_are_offset_by_others_within_a_tolerance():
    rng = np.random.default_rng(1)
    Z = 0.2 * rng.standard_normal((60, 3))
    Z[0] = [4.0, 0.0, 0.0]
    Z[1:11, 0] = -0.4
    problem = SelectionProblem(Z, tolerance=1.0, must_drop=np.arange(60) == 0)
    selection = solve(problem, random_state=0)
    assert selection.drop[0]
    assert selection.drop.sum() > 1
    assert selection.certificate.change <= 1.0


def test_taking_all_of_the_weight_is_refused_in_those_words():
    Z = np.random.default_rng(0).standard_normal((3, 2))
    problem = SelectionProblem(
        Z, n_drop=2, groups=[0, 1, 1], quota={0: 1}, sample_weight=[0.0, 4.0, 4.0]
    )
    with pytest.raises(InfeasibleProblemError, match="takes all of the sample weight"):
        solve(problem, random_state=0)


def test_a_descent_that_the_clock_cuts_short_is_said():
    problem = SelectionProblem(np.random.default_rng(0).standard_normal((200, 40)), n_drop=100)
    assert solve(problem, random_state=0).certificate.status == "feasible"
    cut = solve(problem, random_state=0, time_limit=0.0)
    assert cut.certificate.status == "time limit"


def test_the_tolerance_holds_with_the_size_factor_whatever_the_weights():
    rng = np.random.default_rng(0)
    for n in (12, 20, 60):
        weight = 10.0 ** rng.uniform(-6, 6, n)
        Z = rng.standard_normal((n, 3)) * weight[:, None] / weight.sum()
        problem = SelectionProblem(Z, tolerance=1e-3, sample_weight=weight)
        selection = solve(problem, random_state=0, time_limit=20)
        assert selection.certificate.change <= 1e-3
        assert weight.sum() / weight[~selection.drop].sum() == pytest.approx(
            selection.certificate.size_factor
        )


def test_the_number_of_rows_holds_beside_a_row_of_a_billion():
    Z = np.array([840456924.9, -155.4, 7.4e-7, 1.3e-9, -5.1e-3, 9e-12])[:, None]
    keep, drop = np.isin(np.arange(6), [2, 4]), np.arange(6) == 0
    problem = SelectionProblem(Z, n_drop=4, must_keep=keep, must_drop=drop)
    np.testing.assert_array_equal(solve(problem, random_state=0).drop, ~keep)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e-20, 1e20, 1e160, 1e300])
@pytest.mark.parametrize("n", [12, 100])
def test_no_scale_of_the_rows_matters(scale, n):
    Z = np.random.default_rng(0).standard_normal((n, 3))
    unscaled, scaled = (
        solve(SelectionProblem(Z * unit, n_drop=n // 2), random_state=0) for unit in (1.0, scale)
    )
    assert scaled.certificate.status == unscaled.certificate.status
    assert scaled.certificate.random_objective / scale == pytest.approx(
        unscaled.certificate.random_objective
    )
    assert scaled.certificate.share_of_random < max(
        0.1, unscaled.certificate.share_of_random * (1 + 1e-3)
    )


@pytest.mark.parametrize("n", [28, 200, 1000])
def test_a_limit_that_cut_the_search_is_said_in_the_tolerance_form(n):
    Z = np.random.default_rng(0).standard_normal((n, 10))
    Z -= Z.mean(axis=0)
    selection = solve(SelectionProblem(Z, tolerance=0.5), time_limit=0.01, random_state=0)
    assert selection.certificate.status == "time limit"
    assert selection.certificate.change <= 0.5


def test_a_limit_leaves_what_simple_sets_reach():
    Z = np.random.default_rng(0).standard_normal((1000, 2))
    Z -= Z.mean(axis=0)
    selection = solve(SelectionProblem(Z, tolerance=100.0), time_limit=0.01, random_state=0)
    assert selection.drop.sum() >= 100


def test_where_a_limit_left_no_set_the_error_says_so():
    Z = np.random.default_rng(0).standard_normal((60, 3))
    problem = SelectionProblem(Z, tolerance=1e-6, must_drop=np.arange(60) == 5)
    with pytest.raises(InfeasibleProblemError, match="time_limit ended the search") as caught:
        solve(problem, random_state=0, time_limit=0.01)
    assert caught.value.timed_out


@pytest.mark.parametrize("form", [{"tolerance": 2.0}, {"n_drop": 150}])
@pytest.mark.parametrize("n", [10, 300])
def test_costs_below_zero_are_never_taken_for_savings(form, n):
    rng = np.random.default_rng(0)
    Z, cost = rng.standard_normal((n, 3)), -rng.random(n)
    Z -= Z.mean(axis=0)
    if "n_drop" in form:
        form = {"n_drop": n // 2}
    selection = solve(SelectionProblem(Z, cost=cost, **form), random_state=0)
    if "tolerance" in form:
        assert not selection.drop.any()
        assert selection.certificate.gap == pytest.approx(0.0, abs=1e-6)
    else:
        assert selection.drop.sum() == n // 2


def test_the_gap_of_a_loss_that_must_be_is_none_of_zero():
    rng = np.random.default_rng(0)
    Z, cost = rng.standard_normal((100, 3)), -1.0 - rng.random(100)
    Z -= Z.mean(axis=0)
    problem = SelectionProblem(
        Z, tolerance=5.0, cost=cost, groups=np.arange(100) % 2, quota={0: 20}
    )
    selection = solve(problem, random_state=0)
    assert selection.drop.sum() >= 30
    assert 0 < selection.certificate.gap <= 1


def test_mixed_costs_save_most_of_what_the_bound_allows():
    rng = np.random.default_rng(0)
    Z, cost = rng.standard_normal((400, 4)), rng.standard_normal(400)
    Z -= Z.mean(axis=0)
    selection = solve(SelectionProblem(Z, tolerance=20.0, cost=cost), random_state=0)
    assert selection.certificate.change <= 20.0
    assert selection.drop @ cost > 0.8 * selection.certificate.saving_bound
