"""Equal values have one digest, in any process; different ones do not."""

from __future__ import annotations

import copy
import datetime as dt
import gc
import importlib.util
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from sklearn_prune.data.containers import StoredRows
from sklearn_prune.data.hashing import Identity, digest, fingerprint


def net(*widths: int, act: type = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *[nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)], act()
    )


def test_copies_have_one_digest():
    module, values = net(3, 4, 2), np.arange(5.0)
    assert digest(module, values) == digest(copy.deepcopy(module), values.copy())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(4), np.arange(4.0)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2), torch.zeros(2, requires_grad=True)),
        (net(3, 4, 2), net(3, 4, 2, act=nn.Tanh)),
        (nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.Tanh(), nn.ReLU())),
        ({"lr": 0.1}, {"lr": 0.2}),
        ([1, 2], (1, 2)),
    ],
)
def test_different_values_have_different_digests(one, other):
    assert digest(one) != digest(other)


def test_one_changed_weight_changes_the_digest():
    module = net(3, 2)
    before = digest(module)
    with torch.no_grad():
        module[0].weight[0, 0] += 1e-6
    assert digest(module) != before


def test_a_shared_weight_is_not_two_equal_ones():
    shared, equal = nn.Linear(2, 2), nn.Linear(2, 2)
    pair = [shared, copy.deepcopy(shared)]
    equal.weight = shared.weight
    assert digest([shared, equal]) != digest(pair)


def test_the_digest_holds_in_another_process():
    code = (
        "import numpy as np, torch; from sklearn_prune.data.hashing import digest;"
        "print(digest(np.arange(3.0), {'b': 1, 'a': torch.ones(2)}, torch.nn.ReLU))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest(np.arange(3.0), {"b": 1, "a": torch.ones(2)}, torch.nn.ReLU)


@pytest.mark.parametrize(
    "source",
    [
        "class Net(torch.nn.Module):\n def forward(self, X):\n  return {} * X\n",
        "def twice(X):\n return {} * X\nclass Net(torch.nn.Module):\n forward = twice\n",
    ],
)
def test_code_is_part_of_it(source, tmp_path, monkeypatch):
    digests = []
    for factor in (1, 2):
        path = tmp_path / f"version_{factor}.py"
        path.write_text("import torch\n" + source.format(factor))
        spec = importlib.util.spec_from_file_location("users_net", path)
        users_net = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "users_net", users_net)
        spec.loader.exec_module(users_net)
        digests.append(digest(users_net.Net()))
    assert digests[0] != digests[1]


def test_a_class_without_source_has_no_digest(monkeypatch):
    typed = types.ModuleType("typed_at_a_prompt")
    monkeypatch.setitem(sys.modules, typed.__name__, typed)
    exec("import torch\nclass Typed(torch.nn.Module): pass", typed.__dict__)
    with pytest.raises((OSError, TypeError), match="source|built-in"):
        digest(typed.Typed())


@given(array=hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 5))))
def test_a_fingerprint_does_not_know_where_numbers_lie(array):
    assert fingerprint(StoredRows(array)) == fingerprint(array)


@pytest.mark.parametrize("sparse", [sp.csr_array, sp.csr_matrix])
def test_sparse_rows_have_the_fingerprint_of_dense_ones(sparse):
    dense = np.array([[0.0, 1.0], [2.0, 0.0]])
    assert fingerprint(sparse(dense)) == fingerprint(dense)


def test_rows_of_anything_have_a_fingerprint_by_value():
    rows = [["a", dt.date(2026, 1, 1), None], ["b", dt.date(2026, 1, 1), np.nan]]
    again = [["a", dt.date(2026, 1, 1), np.nan], ["b", dt.date(2026, 1, 1), None]]
    frame, copied = (pd.DataFrame(r, columns=["x", "y", "z"]) for r in (rows, again))
    assert fingerprint(frame) == fingerprint(copied)
    assert fingerprint(frame) != fingerprint(frame.iloc[::-1])
    assert fingerprint(frame) != fingerprint(frame.rename(columns={"x": "w"}))
    assert fingerprint(["a", "b"]) == fingerprint(["a", "".join("b")]) != fingerprint(["b", "a"])
    assert fingerprint([[1], [2, 3]]) == fingerprint([[1], [2, 3]]) != fingerprint([[1, 2], [3]])
    assert fingerprint([(1,), (2, 3)]) == fingerprint([(1,), (2, 3)]) != fingerprint([(1, 2), (3,)])


@pytest.mark.parametrize("make", [list, np.array, lambda cells: pd.DataFrame({"a": cells})])
@pytest.mark.parametrize("cell", [lambda: 0, (i for i in range(2))], ids=["function", "generator"])
def test_cells_that_cannot_be_pickled_are_refused_with_the_remedy(make, cell):
    with pytest.raises(TypeError, match=r"a cell cannot be pickled: .* Give cells that can, such"):
        fingerprint(make([cell, cell]))


def test_identity_ends_with_the_object():
    thing = net(2, 1)
    identity = Identity(thing)
    assert identity == Identity(thing)
    assert identity != Identity(net(2, 1))
    assert identity != "a digest"
    del thing
    gc.collect()
    assert identity != identity
