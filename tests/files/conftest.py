"""A table with every kind of column, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

N = 120


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "code": [f"{i % 9:03d}" for i in range(N)],
            "age": np.where(np.arange(N) % 11 == 0, np.nan, rng.integers(18, 90, N)),
            "sex": rng.choice(["f", "m"], N),
            "born": [f"19{50 + i % 50}-01-{1 + i % 28:02d}" for i in range(N)],
            "note": [f'says "{i}", twice\nor more' for i in range(N)],
            "weight": rng.uniform(0.5, 2, N),
            "income": np.where(rng.random(N) < 0.4, ">50K", "<=50K"),
        }
    )


@pytest.fixture
def csv(table: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    return path
