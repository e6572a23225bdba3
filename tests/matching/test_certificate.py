"""The certificate against refits and means in float64, and what it says in words."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from skorch import NeuralNetClassifier

import sklearn_prune.influence.head.head_influence as head_influence_module
import sklearn_prune.matching.certificate as module
from sklearn_prune import InfluencePruner
from sklearn_prune.matching import Choice, choose_rows
from sklearn_prune.selection import Request, SelectionProblem, make_terms, solve
from sklearn_prune.utils import OutOfTimeError

CALM = {"prune_ratio": 0.5, "damping": 1e-2, "random_state": 0}
N, N_KEPT = 80, 40


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X[:N], y[:N] + 0.5


@pytest.fixture
def draws(monkeypatch):
    """A list of the random rows that the certificate compares with."""
    random_rows, drawn = Choice.random_rows, []

    def recorded(self, rng):
        drawn.append(random_rows(self, rng))
        return drawn[-1]

    monkeypatch.setattr(Choice, "random_rows", recorded)
    return drawn


# Numbers


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_chosen_and_random_rows_are_both_refitted(diabetes, draws, norm):
    X, y = diabetes
    pruner = InfluencePruner(**CALM, norm=norm).fit(X, y)
    A = np.c_[(X - X.mean(axis=0)) / X.std(axis=0), np.ones(N)]
    t, eye = (y - y.mean()) / y.std(), np.eye(A.shape[1])

    def solved(rows):
        n_rows = len(A[rows])
        H = 2 * A[rows].T @ A[rows] / n_rows + CALM["damping"] * eye
        return H, np.linalg.solve(H, 2 * A[rows].T @ t[rows] / n_rows)

    H, theta = solved(np.ones(N, dtype=bool))

    def change(drop):
        delta = solved(~drop)[1] - theta
        return 0.5 * delta @ H @ delta if norm == "loss" else np.linalg.norm(delta)

    certificate = pruner.certificate_
    assert certificate.actual_change == pytest.approx(change(~pruner.support_), rel=1e-6)
    assert len(draws) == 3
    expected = np.mean([change(drop) for drop in draws])
    assert certificate.random_actual_change == pytest.approx(expected, rel=1e-6)


def test_random_rows_are_as_many_of_each_class_and_group_and_obey_masks(iris, draws):
    X, y = iris
    rows = np.arange(150)
    groups, keep, drop = rows % 3, rows % 10 == 0, rows % 10 == 1
    pruner = InfluencePruner(**CALM, quota="equal")
    pruner.fit(X, y, groups=groups, must_keep=keep, must_drop=drop)
    assert len(draws) == 3
    for drawn in draws:
        assert drawn[drop].all() and not drawn[keep].any()
        np.testing.assert_array_equal(
            np.bincount((3 * y + groups)[drawn]), np.bincount((3 * y + groups)[~pruner.support_])
        )
    assert (draws[0] != draws[1]).any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(4, 30))
def test_random_rows_have_the_counts_and_masks_of_the_choice(seed, n):
    rng = np.random.default_rng(seed)
    fates, groups = rng.integers(4, size=n), rng.integers(3, size=n)
    fates[:2] = 2
    keep, must_drop = fates == 0, fates == 1
    problem = SelectionProblem(
        rng.standard_normal((n, 2)),
        n_drop=int(rng.integers(must_drop.sum(), n - max(1, keep.sum()) + 1)),
        groups=groups,
        quota={},
        must_keep=keep,
        must_drop=must_drop,
    )
    selection = solve(problem, random_state=0, time_limit=1)
    drawn = Choice(selection, problem).random_rows(rng)
    assert drawn[must_drop].all() and not drawn[keep].any()
    counts = [np.bincount(groups[rows], minlength=3) for rows in (drawn, selection.drop)]
    np.testing.assert_array_equal(*counts)


def test_where_a_refit_is_long_one_draw_is_enough(iris, draws, monkeypatch):
    monkeypatch.setattr(module, "_LONG_REFIT", 75 * 15 - 1)
    certificate = InfluencePruner(**CALM).fit(*iris).certificate_
    assert len(draws) == 1
    assert certificate.random_actual_change > certificate.actual_change


def test_what_there_was_no_time_for_is_nan_and_said(iris, monkeypatch):
    class Slow:
        """A clock on which each look at it takes an hour."""

        now = 0.0

        def perf_counter(self):
            self.now += 3600
            return self.now

    # Random rows that the search refits need no time here.
    monkeypatch.setattr("sklearn_prune.matching.refinement.negligible_change", lambda *_: 0.0)
    monkeypatch.setattr("sklearn_prune.utils.time_limit.time", Slow())
    certificate = InfluencePruner(**CALM).fit(*iris).certificate_
    assert certificate.refits_timed_out
    assert np.isnan(certificate.kept_hessian_change)
    assert np.isnan(certificate.actual_change) and np.isnan(certificate.random_actual_change)
    assert 0 < certificate.predicted_change < certificate.random_change
    assert repr(certificate).count("actual, head refitted  not computed, out of time") == 2
    assert certificate.summary().startswith("time_limit left no time to refit the last layer")


def test_the_random_rows_that_the_search_refits_are_not_refitted_again(iris, draws, monkeypatch):
    fitted, fit_head = [], head_influence_module.fit_head

    def counted(*args, **options):
        fitted.append(fit_head(*args, **options))
        return fitted[-1]

    monkeypatch.setattr(head_influence_module, "fit_head", counted)
    InfluencePruner(**CALM).fit(*iris)
    # The search refits the first draw; the certificate the other two, and the rows chosen.
    assert len(draws) == 3 and len(fitted) == 4


def test_the_draws_that_were_refitted_in_time_count(iris, monkeypatch):
    changes = iter([3.0, 5.0])

    def refitted_change(*args):
        try:
            return next(changes)
        except StopIteration:
            raise OutOfTimeError from None

    monkeypatch.setattr("sklearn_prune.influence.HeadInfluence.refitted_change", refitted_change)
    certificate = InfluencePruner(**CALM).fit(*iris).certificate_
    assert certificate.random_actual_change == 4.0
    assert not certificate.refits_timed_out


def test_random_rows_hold_some_of_the_weight(iris):
    X, _ = iris
    weight = np.zeros(150)
    weight[[3, 70, 120]] = 1.0
    certificate = (
        InfluencePruner(**{**CALM, "prune_ratio": 0.9})
        .fit(X, X[:, 0] + 0.01, sample_weight=weight)
        .certificate_
    )
    # All rows that weigh something stay, of the chosen ones and of random ones.
    assert certificate.random_actual_change == pytest.approx(0.0, abs=1e-20)
    assert certificate.actual_change == pytest.approx(0.0, abs=1e-20)


def test_the_refit_on_random_rows_that_does_not_converge_is_nan(iris, monkeypatch):
    monkeypatch.setattr("sklearn_prune.influence.HeadInfluence.refitted_change", lambda *_: np.nan)
    certificate = InfluencePruner(**CALM).fit(*iris).certificate_
    assert np.isnan(certificate.random_actual_change)
    assert "could not be refitted on random rows" in certificate.summary()


def aimed_share(pruner, y):
    """Return the probabilities of the draw that the rows kept by `pruner` are to look like."""
    matched = pruner.matched_
    terms = make_terms(len(y), y, sample_weight=matched.sample_weight)
    return choose_rows(matched, terms, Request(0.5, None, "class", "auto")).problem.kept_share


@pytest.fixture(scope="module")
def features(iris_pruner, iris):
    """All rows of the embedding in float64, before they are centred: t_i ⊗ φ_i."""
    embedding = iris_pruner.matched_.balance[0]
    made = embedding._features[:].toarray().astype(np.float64)
    return np.einsum("ij,ik->ijk", np.eye(3)[iris[1]], made).reshape(150, -1)


def test_the_error_is_the_mean_discrepancy_to_the_draw_that_is_aimed_at(
    iris_pruner, iris, features
):
    share = aimed_share(iris_pruner, iris[1])
    aim = share @ features / share.sum()
    error = features[iris_pruner.support_].mean(axis=0) - aim
    tilt = aim - features.mean(axis=0)
    certificate = iris_pruner.certificate_
    assert certificate.distribution_error == pytest.approx(np.linalg.norm(error), rel=1e-3)
    assert certificate.distribution_tilt == pytest.approx(np.linalg.norm(tilt), rel=1e-3)


def test_weights_have_their_part_in_error_and_tilt():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 3)), np.arange(300) % 2
    weight = np.exp(1.5 * rng.standard_normal(300))
    pruner = InfluencePruner(prune_ratio=0.5, damping=0.1, random_state=0)
    pruner.fit(X, y, sample_weight=weight)
    share = aimed_share(pruner, y)
    embedding = pruner.matched_.balance[0]
    made = embedding._features[:].toarray().astype(np.float64)
    features = np.einsum("ij,ik->ijk", np.eye(2)[y], made).reshape(300, -1)
    kept, aim, every = (
        np.average(features, axis=0, weights=weight * part)
        for part in (pruner.support_, share, np.ones(300))
    )
    certificate = pruner.certificate_
    assert certificate.distribution_error == pytest.approx(np.linalg.norm(kept - aim), rel=1e-3)
    assert certificate.distribution_tilt == pytest.approx(np.linalg.norm(aim - every), rel=1e-3)


def test_under_a_tolerance_the_distribution_of_all_rows_is_aimed_at(iris):
    pruner = InfluencePruner(prune_ratio="auto", tolerance=1.0, damping=0.1, random_state=0)
    certificate = pruner.fit(*iris).certificate_
    assert certificate.distribution_tilt == 0


def test_random_rows_are_off_all_rows_by_the_root_mean_square(iris_pruner, iris, features):
    rng, squares = np.random.default_rng(0), []
    for _ in range(300):
        kept = np.concatenate(
            [rng.permutation(np.flatnonzero(iris[1] == label))[:25] for label in range(3)]
        )
        squares.append(np.sum((features[kept].mean(axis=0) - features.mean(axis=0)) ** 2))
    certificate = iris_pruner.certificate_
    expected = np.sqrt(np.mean(squares))
    assert certificate.random_distribution_error == pytest.approx(expected, rel=0.05)
    assert certificate.distribution_error < certificate.random_distribution_error


def test_no_distribution_is_held_at_weight_zero(iris):
    certificate = InfluencePruner(**CALM, distribution_weight=0).fit(*iris).certificate_
    assert np.isnan(certificate.distribution_error)
    assert np.isnan(certificate.random_distribution_error)
    assert "The distribution was not matched" in certificate.summary()
    assert "off its aim" not in repr(certificate)


def test_of_more_layers_than_the_last_nothing_is_refitted(iris):
    X, y = iris
    layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3))
    net = NeuralNetClassifier(layers, criterion=torch.nn.CrossEntropyLoss, max_epochs=1, verbose=0)
    certificate = InfluencePruner(net, **CALM, layers="all").fit(X, y).certificate_
    assert np.isnan(certificate.actual_change) and np.isnan(certificate.random_actual_change)
    # The rows themselves are a table, whose distribution is held.
    assert certificate.distribution_error < certificate.random_distribution_error
    assert "retraining more layers than the last is not known" in certificate.summary()


@pytest.mark.parametrize(("quota", "n_integers"), [("class", 0), ({0: (10, 40)}, 3), (None, 3)])
def test_milp_says_which_counts_it_decided(iris, quota, n_integers):
    certificate = InfluencePruner(**CALM, quota=quota).fit(*iris).certificate_
    assert certificate.n_integers == n_integers
    assert certificate.milp_gap == pytest.approx(0.0, abs=1e-3)
    assert certificate.milp_seconds > 0


def test_few_rows_are_decided_one_by_one(iris):
    X, y = iris
    certificate = InfluencePruner(**CALM).fit(X[40:60], y[40:60]).certificate_
    assert certificate.status == "optimal"
    assert certificate.n_nodes > 0


# Words


@pytest.fixture
def certificate(iris_pruner):
    """One of which every number is chosen: rows worth choosing, and nothing to distrust."""
    return replace(
        iris_pruner.certificate_,
        status="feasible",
        predicted_change=0.01,
        actual_change=0.02,
        random_actual_change=0.2,
        distribution_error=0.1,
        random_distribution_error=0.2,
        distribution_tilt=0.1,
    )


GAINED = "Refitted on these rows, the last layer moves 0.1 times as much as on random ones."
HELD = (
    "The rows kept are 0.5 times as far from their target distribution as random rows are from "
    "that of all rows, so other models should do no worse on them."
)


def test_rows_that_were_worth_choosing_say_so_and_nothing_else(certificate):
    assert certificate.summary() == f"{GAINED} {HELD}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"actual_change": 0.05, "random_actual_change": 0.05},
            "Choosing gained little: refitted on these rows, the last layer moves 1 times as much "
            "as on random ones. Keep more rows, or raise damping.",
        ),
        ({"actual_change": 0.139}, "Refitted on these rows, the last layer moves 0.7 times"),
        ({"actual_change": 0.141}, "Choosing gained little"),
        (
            {"actual_change": np.nan, "random_actual_change": np.nan},
            "The effect of retraining more layers than the last is not known in advance: compare "
            "scores on held-out rows.",
        ),
        (
            {"random_actual_change": np.nan},
            "The last layer could not be refitted on random rows, to compare with.",
        ),
        # What rounding leaves is no change.
        (
            {"actual_change": 1e-30, "random_actual_change": 0.0},
            "Refitted on these rows, the last layer moves 0 times as much as on random ones.",
        ),
        (
            {"random_actual_change": 0.0},
            "Choosing gained little: refitted on these rows, the last layer moves inf times",
        ),
        ({"n_dropped": 0}, "No row is dropped, so nothing moves."),
        ({"n_dropped": 0, "n_reference": 9}, "No row is dropped."),
    ],
)
def test_the_first_sentence_is_about_the_last_layer(certificate, changes, words):
    assert replace(certificate, **changes).summary().startswith(words)


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        ((0.1, 0.2), HELD),
        (
            (0.2, 0.2 - 1e-12),
            "The rows kept are 1 times as far from their target distribution as random rows are "
            "from that of all rows, so other models should do no worse on them.",
        ),
        (
            (0.3, 0.2),
            "The rows kept are 1.5 times as far from their target distribution as random rows are "
            "from that of all rows, so other models may do worse on them: raise "
            "distribution_weight.",
        ),
        ((np.nan, np.nan), "The distribution was not matched, so other models may do worse."),
        (
            (0.0, 0.0),
            "The rows kept are 0 times as far from their target distribution as random rows are "
            "from that of all rows, so other models should do no worse on them.",
        ),
    ],
)
def test_the_second_sentence_is_about_the_distribution(certificate, moved, words):
    change, random = moved
    changed = replace(
        certificate,
        distribution_error=change,
        random_distribution_error=random,
        distribution_tilt=0.0,
    )
    assert changed.summary() == f"{GAINED} {words}"


def test_a_tilt_beyond_what_chance_moves_is_said_to_be_on_purpose(certificate):
    tilted = replace(certificate, distribution_tilt=0.3).summary()
    assert tilted.startswith(f"{GAINED} {HELD} By design they have more rows from sparse")


@pytest.mark.parametrize(
    ("changes", "is_doubtful"),
    [
        ({"predicted_change": 0.0019}, True),
        ({"predicted_change": 0.0021}, False),
        # Far beyond the prediction, and next to nothing all the same.
        ({"predicted_change": 1e-9, "actual_change": 0.009}, False),
        ({"predicted_change": 1e-9, "actual_change": 0.011}, True),
        ({"actual_change": np.nan}, False),
    ],
)
def test_a_refit_far_beyond_the_prediction_is_to_be_distrusted(certificate, changes, is_doubtful):
    words = replace(certificate, **changes).summary()
    assert ("Do not trust the prediction: few rows are left" in words) == is_doubtful


def test_a_search_that_time_ended_says_so(certificate):
    assert "time_limit" not in certificate.summary()
    ended = replace(certificate, status="time limit").summary()
    assert ended == (
        f"{GAINED} {HELD} time_limit ended the search; with more time the rows may be better."
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "rows                     75 kept, 75 dropped of 150 (50.0%)"),
        ({}, "norm                     loss (rise of the loss)"),
        ({"norm": "parameter"}, "norm                     parameter (distance of the parameters)"),
        ({}, "predicted change         0.01"),
        ({}, "  actual, head refitted  0.02"),
        ({"random_change": 0.25}, "random rows, predicted   0.25"),
        ({}, "  actual, head refitted  0.2"),
        ({}, "distribution             0.1 off its aim, random rows 0.2; tilted by 0.1"),
        ({"lower_bound": 0.005, "gap": 0.5}, "lower bound, gap         0.005, 50.00%"),
        ({}, "solver                   feasible"),
        ({"saving_bound": 90}, "solver                   feasible, none saves more than 90"),
        ({"n_integers": 3, "n_nodes": 1200}, "milp                     3 integers, 1,200 nodes"),
        ({"gradient_norm": 1e-9, "n_iter": 5}, "gradient norm 1e-09 after 5 steps"),
        ({"seconds": (("network", 1.0), ("head", 0.5))}, "network 1.00, head 0.50"),
        ({"n_networks": 2}, "networks                 2, of whose changes these are means"),
        (
            {"coordinate_error": 0.2, "coordinate_share": 0.9, "n_parameters": 2000},
            "coordinates              15 of 2,000 (dense), 90.0% of the energy, off by 20.0%",
        ),
    ],
)
def test_every_quantity_has_a_line(certificate, changes, line):
    lines = repr(replace(certificate, **changes)).splitlines()
    assert lines[0] == "Certificate"
    assert any(text.removeprefix("  ").endswith(line) for text in lines)


def test_the_words_stand_below_the_lines(certificate):
    words = " ".join(text.strip() for text in repr(certificate).splitlines())
    assert words.endswith(certificate.summary())


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({"prune_ratio": 0.0}, lambda X, y: y),
        ({}, lambda X, y: np.full(len(y), 0.5)),
    ],
)
def test_where_random_rows_move_nothing_there_are_words_as_well(iris, options, target):
    X, y = iris
    pruner = InfluencePruner(**{**CALM, **options}).fit(X, target(X, y))
    assert pruner.certificate_.summary() in " ".join(repr(pruner.certificate_).split())
    assert "inf" not in pruner.certificate_.summary()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), norm=st.sampled_from(["loss", "parameter"]))
def test_with_weights_no_set_undercuts_the_bound_and_random_ones_cost_what_is_said(seed, norm):
    rng = np.random.default_rng(seed)
    X, y, weight = rng.standard_normal((8, 2)), rng.standard_normal(8), rng.uniform(0.05, 1.05, 8)
    pruner = InfluencePruner(**CALM, norm=norm).fit(X, y, sample_weight=weight)
    influence, certificate = pruner.influence_, pruner.certificate_
    sets = [w for w in np.ndindex(*(2,) * 8) if sum(w) == 4]
    changes = [influence.measure(influence.first_order_step(np.array(w, bool))) for w in sets]
    assert certificate.lower_bound <= min(changes) * (1 + 1e-9)
    # In the loss norm a change is a square, of which half the mean is meant; else its root.
    mean = np.mean(changes) if norm == "loss" else np.sqrt(np.mean(np.square(changes)))
    assert certificate.random_change == pytest.approx(mean, rel=0.15)


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_as_json_it_holds_every_attribute_and_none_for_what_is_not_finite(iris, norm):
    certificate = InfluencePruner(**CALM, norm=norm).fit(*iris).certificate_
    held = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert held.keys() == {field.name for field in fields(certificate)}
    assert held["seconds"] == dict(certificate.seconds)
    for name in held.keys() - {"seconds"}:
        value = getattr(certificate, name)
        is_finite = not isinstance(value, float) or np.isfinite(value)
        assert held[name] == (value if is_finite else None)
