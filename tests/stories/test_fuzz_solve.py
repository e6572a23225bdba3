"""All rules at once, of up to fourteen rows: the answers against enumeration in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint

from sklearn_prune.selection import InfeasibleProblemError, SelectionProblem, solve
from tests.stories.fuzzing import fuzz_settings

pytestmark = pytest.mark.fuzz

SCALES = ["one", "any", "wide", "whole", "doubled", "zeros"]
WEIGHTS = [None, None, "random", "zeros", "wide"]
COSTS = [None, None, "positive", "mixed", "whole", "wide"]
QUOTAS = [None, "proportional", "equal", "range"]
# Of the norm; of a sum of rows float64 knows so much.
EPSILON = 1e-13


def rows_of(rng, kind, n, k):
    Z = rng.standard_normal((n, k))
    if kind == "any":
        Z *= 10.0 ** rng.uniform(-150, 150)
    elif kind == "wide":
        Z *= 10.0 ** rng.uniform(-12, 12, (n, 1))
    elif kind == "whole":
        Z = rng.integers(-3, 4, (n, k)).astype(float)
    elif kind == "doubled":
        Z[n // 2 :] = -Z[: n - n // 2]
    elif kind == "zeros":
        Z[rng.random(n) < 0.4] = 0.0
    return Z


def numbers_of(rng, kind, n):
    return {
        "random": lambda: rng.uniform(0.05, 4, n),
        "zeros": lambda: rng.choice([0.0, 0.5, 1.0], n),
        "positive": lambda: rng.uniform(0, 1, n),
        "mixed": lambda: rng.standard_normal(n),
        "whole": lambda: rng.integers(-2, 4, n).astype(float),
        "wide": lambda: 10.0 ** rng.uniform(-6, 6, n),
    }[kind]()


@st.composite
def cases(draw):
    """A problem's rows and options, and its form."""
    n, k = draw(st.integers(2, 14)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    Z = rows_of(rng, draw(st.sampled_from(SCALES)), n, k)
    options = {}
    weight, cost = draw(st.sampled_from(WEIGHTS)), draw(st.sampled_from(COSTS))
    if weight:
        options["sample_weight"] = numbers_of(rng, weight, n)
    if cost:
        options["cost"] = numbers_of(rng, cost, n)
    quota = draw(st.sampled_from(QUOTAS))
    if quota:
        options["groups"] = groups = rng.integers(0, 3, n)
        size = int((groups == groups[0]).sum())
        low = draw(st.integers(0, size))
        ranges = {int(groups[0]): (low, draw(st.integers(low, size)))}
        options["quota"] = ranges if quota == "range" else quota
    fate = rng.random(n)
    if draw(st.booleans()):
        options["must_keep"] = fate < 0.2
    if draw(st.booleans()):
        options["must_drop"] = fate > 0.85
    if draw(st.booleans()):
        A = rng.integers(-2, 3, (2, n)) * 10.0 ** draw(st.sampled_from([-9, 0, 6]))
        unit = np.abs(A).max() or 1.0
        options["constraints"] = LinearConstraint(A, -2 * unit, [3 * unit, np.inf])
    if draw(st.booleans()):
        options["balance"] = [rng.standard_normal((n, 3)) * 10.0 ** draw(st.integers(-3, 3))]
        options["balance_weight"] = draw(st.sampled_from([0.3, 1.0]))
    if draw(st.booleans()):
        options["n_drop"] = draw(st.integers(0, n - 1))
    else:
        options["tolerance"] = draw_tolerance(draw, rng, Z)
    return Z, options


def draw_tolerance(draw, rng, Z):
    """Return none, one that some set just meets, or a share of a row."""
    kind = draw(st.sampled_from(["zero", "exact", "share"]))
    if kind == "zero":
        return 0.0
    if kind == "exact":
        w = rng.random(len(Z)) < 0.5
        w[0] = False
        return float(len(Z) / (len(Z) - w.sum()) * np.linalg.norm(Z[w].sum(axis=0)))
    return float(draw(st.floats(0.01, 3.0)) * np.linalg.norm(Z, axis=1).mean())


def problem_of(Z, options):
    try:
        return SelectionProblem(Z, **options)
    except InfeasibleProblemError:
        return None


def enumerated(problem, Z, options):
    """Return all sets within the rules, with their changes, savings and joint objectives."""
    n = problem.n_samples
    sets = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)
    weight = options.get("sample_weight", np.ones(n))
    sets = sets[~(sets & problem.must_keep).any(axis=1) & (sets | ~problem.must_drop).all(axis=1)]
    sets = sets[(~sets @ weight > 0) & (sets.sum(axis=1) < n)]
    if "n_drop" in options:
        sets = sets[sets.sum(axis=1) == options["n_drop"]]
    sets = sets[within_quotas(problem, sets)]
    if "constraints" in options:
        rows = options["constraints"]
        values, slack = sets @ rows.A.T, 1e-12 * np.abs(rows.A).sum(axis=1)
        inside = (values >= rows.lb - slack) & (values <= rows.ub + slack)
        sets = sets[inside.all(axis=1)]
    factors = weight.sum() / (~sets @ weight)
    changes = factors * lengths(Z, sets)
    surely = np.ones(len(sets), dtype=bool)
    if "tolerance" in options:
        # Another order of the sum may round otherwise.
        rounding = factors * EPSILON * (sets @ np.abs(Z).sum(axis=1))
        perhaps = changes - rounding <= options["tolerance"]
        perhaps[perhaps] = [balanced(problem, w) for w in sets[perhaps]]
        surely = (changes + rounding <= options["tolerance"])[perhaps]
        sets, changes = sets[perhaps], changes[perhaps]
    return SimpleNamespace(
        sets=sets,
        surely=surely,
        changes=changes,
        savings=sets @ options.get("cost", np.ones(n)),
        joint=joint(Z, options, sets),
    )


def lengths(Z, sets):
    """Return the length of the sum of each set's rows, whatever the scale of these."""
    unit = np.abs(Z).max() or 1.0
    return unit * np.linalg.norm(sets @ (Z / unit), axis=1)


def joint(Z, options, sets):
    """Return what is minimised: the change, and the imbalance as long in the root mean square."""
    if "balance" not in options:
        return lengths(Z, sets)
    B, unit = options["balance"][0], np.abs(Z).max() or 1.0
    size = unit * np.linalg.norm(Z / unit)
    ratio = options["balance_weight"] * (size / np.linalg.norm(B) if size else 1.0)
    return unit * np.hypot(lengths(Z / unit, sets), ratio / unit * lengths(B, sets))


def within_quotas(problem, sets):
    n_drop, counts = sets.sum(axis=1), sets @ np.eye(problem.groups.max() + 1)[problem.groups]
    inside = np.array(
        [problem.kept_range.admits(problem.n_samples - m) for m in n_drop], dtype=bool
    )
    for m in np.unique(n_drop[inside]):
        low, high = problem.dropped_bounds(int(m))
        same = n_drop == m
        inside[same] &= ((counts[same] >= low) & (counts[same] <= high)).all(axis=1)
    return inside


def balanced(problem, w):
    if not problem.is_balanced:
        return True
    allowed = problem.random_size_factors(w)[1] * problem.random_lengths(w).imbalances[0]
    return problem.size_factor(w) * problem.lengths(w).imbalances[0] <= allowed * (1 + 1e-9)


@fuzz_settings(60)
@given(cases())
def test_the_answer_is_that_of_enumeration(case):
    Z, options = case
    problem = problem_of(Z, options)
    if problem is None:
        return
    all_sets = enumerated(problem, Z, options)
    try:
        selection = solve(problem, random_state=0, time_limit=20)
    except InfeasibleProblemError:
        assert not all_sets.surely.any()
        return
    found = (all_sets.sets == selection.drop).all(axis=1)
    assert found.any(), "the set breaks a rule"
    check_certificate(selection, Z, options)
    rounding = EPSILON * np.linalg.norm(Z, axis=1).sum()
    if "n_drop" in options:
        check_smallest(selection.certificate, options, all_sets, found, rounding)
    else:
        check_largest(selection.certificate, options, all_sets, found)


def check_certificate(selection, Z, options):
    certificate, drop = selection.certificate, selection.drop
    weight = options.get("sample_weight", np.ones(len(Z)))
    assert certificate.objective == pytest.approx(np.linalg.norm(Z[drop].sum(axis=0)), rel=1e-9)
    assert certificate.size_factor == pytest.approx(weight.sum() / weight[~drop].sum())
    assert certificate.status in ("optimal", "feasible", "nothing to drop")
    assert 0 <= certificate.gap <= 1


def check_smallest(certificate, options, all_sets, found, rounding):
    least = certificate.least_size_factor * certificate.lower_bound
    assert least <= all_sets.changes.min() * (1 + 1e-9) + rounding
    bound = certificate.change * (1 - certificate.gap)
    if "cost" not in options and "balance" not in options:
        assert bound <= all_sets.changes.min() * (1 + 2e-4) + 10 * rounding
    best = all_sets.joint.min()
    if "cost" in options:
        assert all_sets.joint[found][0] <= 1.5 * best * (1 + 2e-4) + 10 * rounding
        if certificate.status == "optimal":
            allowed = all_sets.joint <= 1.5 * best * (1 - 1e-9)
            most = all_sets.savings[allowed].max(initial=-np.inf)
            assert all_sets.savings[found][0] >= most - 1e-5 * np.abs(options["cost"]).sum()
    else:
        # With weights the smallest sum need not be the smallest change, which is not claimed.
        assert certificate.status == "optimal" or "sample_weight" in options
        assert all_sets.joint[found][0] <= best * (1 + 2e-4) + 10 * rounding


def check_largest(certificate, options, all_sets, found):
    assert certificate.status in ("optimal", "nothing to drop")
    assert certificate.change <= options["tolerance"]
    savings = all_sets.savings[all_sets.surely]
    if len(savings):
        most = savings.max() - 1e-5 * np.abs(options.get("cost", 0.01)).sum()
        assert all_sets.savings[found][0] >= most
        assert certificate.saving_bound >= most
