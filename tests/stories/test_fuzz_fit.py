"""`InfluencePruner.fit` on rows of many types and scales, with weights, masks and quotas."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from sklearn_prune import InfeasibleProblemError, InfluencePruner
from sklearn_prune.selection import count_of, make_terms
from tests.stories.fuzzing import fuzz_settings

pytestmark = pytest.mark.fuzz

CONTAINERS = {
    "float64": np.asarray,
    "float32": lambda X: X.astype(np.float32),
    "fortran": np.asfortranarray,
    "list": lambda X: X.tolist(),
    "frame": lambda X: pd.DataFrame(X, columns=[f"column {j}" for j in range(X.shape[1])]),
    "sparse": csr_array,
}
TARGETS = ["numbers", "large numbers", "outputs", "words", "codes", "booleans", "three words"]
WEIGHTS = [None, None, "random", "zeros", "wide", "tiny", "huge", "vast"]


def target_of(rng, kind, n):
    if kind in ("numbers", "large numbers"):
        return rng.standard_normal(n) * (1.0 if kind == "numbers" else 10.0 ** rng.uniform(-8, 8))
    if kind == "outputs":
        return rng.standard_normal((n, 2))
    codes = np.r_[0, 1, 2, rng.integers(0, 3, n - 3)]
    names = {"words": ["no", "yes", "yes"], "three words": ["a", "b", "c"]}
    return {
        "codes": lambda: np.minimum(codes, 1) * 7,
        "booleans": lambda: codes > 0,
    }.get(kind, lambda: np.array(names[kind])[codes])()


def weights_of(rng, kind, n):
    return {
        "random": lambda: rng.uniform(0.05, 4, n),
        "zeros": lambda: np.r_[1.0, rng.choice([0.0, 1.0], n - 1)],
        "wide": lambda: 10.0 ** rng.uniform(-6, 6, n),
        "tiny": lambda: 1e-40 * rng.uniform(0.1, 1, n),
        "huge": lambda: 1e38 * rng.uniform(0.1, 1, n),
        "vast": lambda: 1e305 * rng.uniform(0.1, 1, n),
    }[kind]()


@st.composite
def fits(draw):
    """Rows, target, parameters and what is given to `fit`."""
    n, rng = draw(st.integers(6, 40)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.standard_normal((n, draw(st.integers(1, 4))))
    X = X * 10.0 ** rng.uniform(-6, 6, X.shape[1]) if draw(st.booleans()) else X
    if draw(st.booleans()):
        X[:, 0] = 1.0
    y = target_of(rng, draw(st.sampled_from(TARGETS)), n)
    params = {
        "norm": draw(st.sampled_from(["loss", "parameter"])),
        "quota": draw(st.sampled_from(["class", "equal", None])),
        "damping": draw(st.sampled_from([1e-4, 1e-1])),
        "distribution_weight": draw(st.sampled_from(["auto", 0.0])),
    }
    if draw(st.integers(0, 2)):
        params["prune_ratio"] = draw(st.sampled_from([0.0, 0.2, 0.5, 0.8]))
    else:
        params |= {"prune_ratio": "auto", "tolerance": 10.0 ** draw(st.integers(-6, 1))}
    given_rows = {}
    kind, fate = draw(st.sampled_from(WEIGHTS)), rng.random(n)
    if kind:
        given_rows["sample_weight"] = weights_of(rng, kind, n)
    if draw(st.booleans()):
        given_rows["must_keep"] = fate < 0.15
    if draw(st.booleans()):
        given_rows["must_drop"] = fate > 0.9
    if draw(st.integers(0, 3)) == 0:
        given_rows["groups"] = rng.integers(0, 2, n)
    if draw(st.integers(0, 3)) == 0:
        given_rows["sample_cost"] = draw(st.sampled_from([-1.0, 0.0])) + rng.random(n) * 2
    return X, y, draw(st.sampled_from(list(CONTAINERS))), params, given_rows


def fitted(X, y, params, given_rows):
    """Return the pruner, or None where what is asked contradicts itself and is refused."""
    pruner = InfluencePruner(random_state=0, time_limit=5.0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return pruner.fit(X, y, **given_rows)
        except InfeasibleProblemError:
            return None
        except ValueError as error:
            assert "leaves" in str(error) and "for" in str(error), error
            return None


@fuzz_settings(20)
@given(fits())
def test_what_is_kept_meets_every_rule_and_the_certificate_says_what_is(case):
    X, y, container, params, given_rows = case
    pruner = fitted(CONTAINERS[container](X), y, params, given_rows)
    if pruner is None:
        return
    check_support(pruner, y, params, given_rows)
    check_certificate(pruner, params)
    check_other_sets(pruner, y, given_rows)


def check_support(pruner, y, params, given_rows):
    support, n = pruner.support_, len(y)
    if params["prune_ratio"] != "auto":
        assert (~support).sum() == count_of(params["prune_ratio"], n)
    assert support[given_rows.get("must_keep", np.zeros(n, dtype=bool))].all()
    assert not support[given_rows.get("must_drop", np.zeros(n, dtype=bool))].any()
    weight = given_rows.get("sample_weight", np.ones(n))
    assert weight[support].any()
    if hasattr(pruner, "classes_"):
        assert set(y[support].tolist()) == set(y.tolist())


def check_certificate(pruner, params):
    certificate, influence = pruner.certificate_, pruner.influence_
    change = influence.measure(influence.first_order_step(~pruner.support_))
    assert certificate.predicted_change == pytest.approx(change, rel=1e-6, abs=1e-300)
    if params.get("tolerance"):
        assert change <= params["tolerance"] * (1 + 1e-9)
    assert 0 <= certificate.gap <= 1
    assert np.isfinite(certificate.random_change)
    assert certificate.status in ("optimal", "feasible", "time limit", "nothing to drop")


def check_other_sets(pruner, y, given_rows):
    """No set with the same counts and masks undercuts the bound."""
    certificate, influence, drop = pruner.certificate_, pruner.influence_, ~pruner.support_
    rng, n = np.random.default_rng(0), len(drop)
    labels = y if hasattr(pruner, "classes_") else None
    strata = make_terms(n, labels, groups=given_rows.get("groups")).strata
    strata = np.zeros(n, dtype=int) if strata is None else strata
    fixed = [given_rows.get(name, np.zeros(n, dtype=bool)) for name in ("must_keep", "must_drop")]
    # Rows of weight zero go first, as far as they may.
    is_open = ~(fixed[0] | fixed[1] | (drop & (influence.sample_weight == 0)))
    for _ in range(20):
        other = drop.copy()
        for stratum in range(strata.max() + 1):
            rows = np.flatnonzero(is_open & (strata == stratum))
            other[rows] = rng.permutation(other[rows])
        if influence.sample_weight[~other].sum() > 0:
            change = influence.measure(influence.first_order_step(other))
            rounding = 1e-12 * certificate.random_change
            assert certificate.lower_bound <= change * (1 + 1e-5) + rounding


@fuzz_settings(6)
@given(fits(), st.sampled_from([2.0**-120, 2.0**120]))
def test_the_unit_of_weights_does_not_matter(case, unit):
    X, y, _, params, given_rows = case
    weight = given_rows.get("sample_weight", np.arange(1.0, len(X) + 1))
    if not 1e-10 < weight.max() < 1e10:
        return
    plain = fitted(X, y, params, {**given_rows, "sample_weight": weight})
    scaled = fitted(X, y, params, {**given_rows, "sample_weight": unit * weight})
    assert (plain is None) == (scaled is None)
    if plain is not None:
        np.testing.assert_array_equal(plain.support_, scaled.support_)
