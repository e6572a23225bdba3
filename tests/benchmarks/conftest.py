"""What the benchmarks' tests share: one thread, and small made-up files of the real ones' shape."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """OpenMP's threads wait for each other a hundred times as long on a machine that is busy."""
    monkeypatch.setattr("benchmarks._common.N_THREADS", 1)
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    n = 400
    age = rng.integers(17, 90, n)
    adult = {
        "age": age,
        "workclass": rng.choice(["Private", "State-gov", None], n),
        "income": np.where(age + rng.normal(0, 20, n) > 50, ">50K", "<=50K"),
        "split": np.where(np.arange(n) < 300, "train", "test"),
    }
    pd.DataFrame(adult).to_csv(folder / "adult.csv.gz", index=False)
    carat = rng.uniform(0.2, 2, n)
    diamonds = {
        "carat": carat,
        "cut": rng.choice(["Ideal", "Premium"], n),
        "price": np.round(4000 * carat**1.7 * rng.lognormal(0, 0.1, n) + 1),
    }
    pd.DataFrame(diamonds).to_csv(folder / "diamonds.csv.gz", index=False)
    y = np.arange(n) % 3
    X = rng.normal(size=(n, 4)) + y[:, None]
    np.savez(
        folder / "cifar10_embedding.npz",
        X=X.astype(np.float16),
        y=y,
        is_test=np.arange(n) >= 300,
    )
    return folder
