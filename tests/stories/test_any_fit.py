"""What holds for all rows, targets, rules and networks that `InfluencePruner` is fitted on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from skorch import NeuralNetClassifier, NeuralNetRegressor
from threadpoolctl import threadpool_limits

from sklearn_prune import InfluencePruner

ROOT = Path(__file__).resolve().parents[2]
N_COLUMNS = 3
TARGETS = ["two classes", "three classes", "numbers", "several outputs", "several labels"]


def network(target: str) -> Any:
    make, n_outputs, criterion = {
        "two classes": (NeuralNetClassifier, 2, torch.nn.CrossEntropyLoss),
        "three classes": (NeuralNetClassifier, 3, torch.nn.CrossEntropyLoss),
        "numbers": (NeuralNetRegressor, 1, torch.nn.MSELoss),
        "several outputs": (NeuralNetRegressor, 2, torch.nn.MSELoss),
        "several labels": (NeuralNetClassifier, 2, torch.nn.BCEWithLogitsLoss),
    }[target]
    return make(
        torch.nn.Linear,
        module__in_features=N_COLUMNS,
        module__out_features=n_outputs,
        criterion=criterion,
        max_epochs=1,
        train_split=None,
        verbose=0,
    )


def made_target(target: str, X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noisy = X[:, :2] + 0.5 * rng.standard_normal((len(X), 2))
    if target == "several outputs":
        return noisy.astype(np.float32)
    if target == "several labels":
        return (noisy > 0).astype(np.float32)
    if target == "numbers":
        return noisy[:, 0].astype(np.float32)
    n_classes = 2 if target == "two classes" else 3
    codes = np.searchsorted([-0.5, 0.5] if n_classes == 3 else [0.0], noisy[:, 0])
    # Of each class more rows than masks take, whatever the draw.
    codes[: 4 * n_classes] = np.arange(4 * n_classes) % n_classes
    return codes


@st.composite
def fits(draw: st.DrawFn) -> dict[str, Any]:
    """What a pruner is made of and fitted on."""
    target, n_rows = draw(st.sampled_from(TARGETS)), draw(st.integers(90, 120))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    X = rng.standard_normal((n_rows, N_COLUMNS)).astype(np.float32)
    options: dict[str, Any] = {
        "prune_ratio": draw(st.sampled_from([0.05, 0.2, 0.3])),
        "quota": draw(st.sampled_from(["class", "equal", None])),
        "norm": draw(st.sampled_from(["loss", "parameter"])),
        "damping": 1e-2,
        "random_state": 0,
        "time_limit": 30.0,
    }
    y = made_target(target, X, rng)
    if target == "several labels":
        options["estimator"] = network(target)
    else:
        kind = draw(st.sampled_from(["linear", "linear", "network", "two networks"]))
        networks = {"linear": None, "network": network(target), "two networks": [None]}[kind]
        options["estimator"] = [None, network(target)] if kind == "two networks" else networks
    if draw(st.booleans()):
        options["features"] = rng.standard_normal((n_rows, 2))
    given: dict[str, Any] = {}
    if draw(st.booleans()):
        given["groups"] = rng.integers(2, size=n_rows)
    if draw(st.booleans()):
        given["sample_weight"] = rng.integers(3, size=n_rows).astype(float)
    if draw(st.booleans()):
        fate = rng.permutation(n_rows)
        given["must_keep"], given["must_drop"] = fate < 6, fate >= n_rows - 3
    rows = csr_array(X) if draw(st.booleans()) else X
    return {"options": options, "X": rows, "y": y, "target": target, "given": given}


@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(fits())
def test_any_fit_meets_its_rules_and_holds_the_distribution(fit):
    options, y, given = fit["options"], fit["y"], fit["given"]
    pruner = InfluencePruner(**options).fit(fit["X"], y, **given)
    support, certificate = pruner.support_, pruner.certificate_
    n_rows = len(y)
    n_drop = int(np.ceil(options["prune_ratio"] * n_rows - 0.5))
    assert support.sum() == n_rows - n_drop == certificate.n_kept
    np.testing.assert_array_equal(np.flatnonzero(support), pruner.sample_indices_)
    if "must_keep" in given:
        assert support[given["must_keep"]].all()
        assert not support[given["must_drop"]].any()
    assert_quotas(fit, support)
    weight = given.get("sample_weight", np.ones(n_rows))
    assert (weight[support] > 0).any()

    # Rows enough are kept for every parameter: what is held moves less than by random rows.
    assert np.isfinite(
        [certificate.distribution_error, certificate.random_distribution_error]
    ).all()
    assert certificate.distribution_error <= 1.1 * certificate.random_distribution_error + 1e-6
    changes = ["predicted_change", "kept_hessian_change", "actual_change"]
    changes += ["random_change", "random_actual_change"]
    assert all(0 <= getattr(certificate, name) < np.inf for name in changes)
    assert np.isfinite(pruner.influence_norms_).all()
    assert certificate.summary() in " ".join(repr(certificate).split())


def assert_quotas(fit: dict[str, Any], support: np.ndarray) -> None:
    """Every class keeps a row; the same share or number of each stratum stays, masks allowing."""
    y, quota, groups = fit["y"], fit["options"]["quota"], fit["given"].get("groups")
    has_classes = fit["target"].endswith("classes")
    if has_classes:
        assert all(support[y == label].any() for label in np.unique(y))
    if quota is None or (groups is None and not has_classes):
        return
    if "must_keep" in fit["given"]:
        # Masks may ask for more or less of a stratum than its quota.
        return
    strata = (2 * y if has_classes else 0) + (0 if groups is None else groups)
    sizes, kept = np.bincount(strata), np.bincount(strata[support], minlength=strata.max() + 1)
    if quota == "class":
        assert (np.abs(kept - support.mean() * sizes) < 1).all()
    else:
        # The same number of each, or one more; of a stratum that has fewer, all.
        level = kept[kept < sizes].min()
        assert (kept >= np.minimum(sizes, level)).all()
        assert (kept <= np.minimum(sizes, level + 1)).all()


# Reproducibility


def test_the_same_rows_on_one_thread_and_two_and_from_the_memory(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 4))
    y, groups = (X[:, 0] + rng.standard_normal(120) > 0).astype(int), np.arange(120) % 2
    options = {"prune_ratio": 0.5, "features": X[:, :2], "random_state": 3}
    supports, stages = [], []
    for n_threads, memory in [(1, None), (2, None), (1, str(tmp_path)), (2, str(tmp_path))]:
        with threadpool_limits(n_threads):
            pruner = InfluencePruner(**options, memory=memory)
            pruner.fit(X, y, groups=groups)
        supports.append(pruner.support_)
        stages.append([name for name, _ in pruner.certificate_.seconds])
    assert "head" in stages[2] and "head" not in stages[3]
    for support in supports[1:]:
        np.testing.assert_array_equal(support, supports[0])


# Imports

FIT_IN_A_FRESH_PROCESS = """
import sys
import numpy as np
from sklearn_prune import InfluencePruner
X = np.random.default_rng(0).standard_normal((40, 2))
for y in (np.arange(40) % 2, np.arange(40) % 3, X[:, 0] + 0.5):
    InfluencePruner(prune_ratio=0.5).fit(X, y)
slow = {"torch._dynamo", "torch._inductor", "torch._functorch.aot_autograd"}
print(sorted(slow & sys.modules.keys()))
"""


def test_the_default_network_imports_no_compiler():
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIT_IN_A_FRESH_PROCESS],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert ended.stdout.split() == ["[]"]
