"""Rows that are no array in memory: dicts, datasets, and arrays that are read piece by piece."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetClassifier
from skorch.helper import SliceDict
from torch import nn
from torch.utils.data import IterableDataset, Subset, TensorDataset

from sklearn_prune import InfluencePruner, make_pipeline
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.data.containers import is_stored, read_rows
from sklearn_prune.networks import last_layer

N = 90
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4))
Y = (X @ RNG.standard_normal((4, 3)) + RNG.logistic(size=(N, 3))).argmax(axis=1)
CALM = {"prune_ratio": 0.5, "damping": 1e-2, "random_state": 0, "time_limit": 5}


class Stored:
    """What h5py and zarr have in common: an array that is not one, and says what is read of it."""

    def __init__(self, array, most=None):
        self.shape, self.dtype = array.shape, array.dtype
        self.most, self.n_read = most or len(array), 0
        self._array = array

    def __len__(self):
        return len(self._array)

    def __getitem__(self, rows):
        found = self._array[rows]
        if isinstance(rows, slice):
            assert len(found) <= self.most, f"{len(found)} rows were read at once"
        else:
            assert isinstance(rows, int | np.integer)
        self.n_read += len(found) if isinstance(rows, slice) else 1
        return found

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole was read")


class Mlp(nn.Module):
    def __init__(self, n_outputs=3):
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 6), nn.Linear(6, n_outputs)

    def forward(self, X):
        return self.head(torch.tanh(self.hidden(X)))


class TwoInputs(nn.Module):
    """Numbers of one array and words of another."""

    def __init__(self):
        super().__init__()
        self.embedding, self.body = nn.Embedding(5, 2), Mlp()

    def forward(self, numbers, word):
        return self.body(torch.cat([numbers, self.embedding(word)], dim=1))


def mlp(**options):
    options = {"max_epochs": 3, "verbose": 0, "lr": 0.1, "batch_size": 16, **options}
    return NeuralNetClassifier(Mlp, criterion=nn.CrossEntropyLoss, **options)


@pytest.fixture(scope="module")
def expected():
    return InfluencePruner(mlp(), **CALM).fit(X, Y)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr("sklearn_prune.data.containers.CHUNK_CELLS", 64)


def same(pruner, expected):
    np.testing.assert_allclose(pruner.influence_norms_, expected.influence_norms_, rtol=1e-6)
    np.testing.assert_array_equal(pruner.support_, expected.support_)


# Arrays on disk


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_stored_rows_are_read_piece_by_piece_and_prune_as_an_array_does(small_pieces, dtype):
    expected = InfluencePruner(mlp(), **CALM).fit(X.astype(dtype), Y)
    stored = Stored(X.astype(dtype), most=16)
    pruner = InfluencePruner(mlp(), **CALM).fit(stored, Y)
    same(pruner, expected)
    assert pruner.n_features_in_ == 4
    kept = pruner.transform(stored)
    np.testing.assert_array_equal(kept, X.astype(dtype)[pruner.support_])
    assert isinstance(kept, np.ndarray)
    other = Stored(X.astype(dtype) + 1, most=16)
    assert pruner.transform(other) is other
    X_small, y_small = pruner.prune(stored, Y)
    np.testing.assert_array_equal(X_small, kept)
    np.testing.assert_array_equal(y_small, Y[pruner.support_])


def test_a_file_prunes_as_the_array_in_it(tmp_path, expected):
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    pruner = InfluencePruner(mlp(), **CALM).fit(stored, Y)
    same(pruner, expected)
    np.testing.assert_array_equal(pruner.transform(stored), X[expected.support_])
    # Known by content, wherever it lies.
    np.testing.assert_array_equal(pruner.transform(X), X[expected.support_])
    np.testing.assert_array_equal(expected.transform(stored), X[expected.support_])


def test_a_default_linear_model_reads_stored_rows_too(small_pieces, monkeypatch):
    monkeypatch.setattr("sklearn_prune.networks.default_linear.CHUNK", 16)
    expected = InfluencePruner(**CALM).fit(X, Y)
    same(InfluencePruner(**CALM).fit(Stored(X, most=16), Y), expected)


def test_stored_images_of_small_integers(small_pieces):
    images = RNG.integers(256, size=(N, 2, 2), dtype=np.uint8)
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    net = NeuralNet(module, criterion=nn.CrossEntropyLoss, verbose=0, max_epochs=1, batch_size=16)
    pruner = InfluencePruner(net.set_params(lr=1e-4), **CALM).fit(Stored(images, most=16), Y)
    same(pruner, InfluencePruner(net, **CALM).fit(images, Y))


def test_a_memory_knows_stored_rows_by_content(tmp_path, capsys):
    options = {**CALM, "memory": str(tmp_path), "verbose": 1}
    InfluencePruner(mlp(), **options).fit(Stored(X), Y)
    capsys.readouterr()
    InfluencePruner(mlp(), **options).fit(Stored(X.copy()), Y)
    assert "network" not in capsys.readouterr().out
    InfluencePruner(mlp(), **options).fit(Stored(X + 1), Y)
    assert "network" in capsys.readouterr().out


@pytest.mark.parametrize("package", ["h5py", "zarr"])
def test_h5py_and_zarr(tmp_path, package, expected):
    library = pytest.importorskip(package)
    if package == "h5py":
        stored = library.File(tmp_path / "X.h5", "w").create_dataset("X", data=X, chunks=(16, 4))
    else:
        stored = library.create_array(str(tmp_path / "X.zarr"), data=X, chunks=(16, 4))
    pruner = InfluencePruner(mlp(), **CALM).fit(stored, Y)
    same(pruner, expected)
    np.testing.assert_array_equal(pruner.transform(stored), X[pruner.support_])


@given(
    array=hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 5))),
    data=st.data(),
)
def test_any_rows_in_any_order(array, data):
    indices = data.draw(st.lists(st.integers(0, len(array) - 1), max_size=50))
    indices = np.array(indices, dtype=np.intp)
    np.testing.assert_array_equal(read_rows(Stored(array), indices), array[indices])


def test_what_is_stored_and_what_is_not(tmp_path):
    np.save(tmp_path / "X.npy", X)
    assert is_stored(np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert is_stored(Stored(X))
    for rows in (X, X.tolist(), pd.DataFrame(X), pd.Series(X[:, 0]), torch.as_tensor(X), X[0, 0]):
        assert not is_stored(rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            np.where(np.arange(N)[:, None] == 70, np.nan, X),
            "infinity, the first in row 70 and column 0\\.",
        ),
        (X.astype("S8"), "Encode"),
        (X[:, 0], "Expected 2D array"),
        (X[:1], "minimum of 2"),
    ],
)
def test_stored_rows_that_are_no_numbers_are_refused(rows, message, small_pieces):
    with pytest.raises(ValueError, match=message):
        InfluencePruner(mlp(), **CALM).fit(Stored(rows), Y[: len(rows)])


# Dicts


def test_a_dict_of_arrays_is_pruned_array_by_array():
    rows = {"numbers": X[:, :2], "word": np.arange(N) % 5}
    net = NeuralNetClassifier(TwoInputs, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0)
    pruner = InfluencePruner(net, **CALM).fit(rows, Y)
    kept = pruner.transform(rows)
    assert type(kept) is dict
    np.testing.assert_array_equal(kept["numbers"], X[pruner.support_, :2])
    np.testing.assert_array_equal(kept["word"], rows["word"][pruner.support_])
    other = {"numbers": X[:, :2], "word": (np.arange(N) + 1) % 5}
    assert pruner.transform(other) is other
    # The same rows in other containers.
    same_rows = OrderedDict(word=pd.Series(rows["word"]), numbers=torch.as_tensor(X[:, :2]))
    kept = pruner.transform(same_rows)
    assert isinstance(kept, OrderedDict)
    assert isinstance(kept["word"], pd.Series)
    stored = {"numbers": Stored(X[:, :2]), "word": rows["word"]}
    again = InfluencePruner(net, **CALM).fit(stored, Y)
    np.testing.assert_array_equal(again.support_, pruner.support_)


def test_skorchs_slice_dict_stays_one():
    rows = SliceDict(X=X.astype(np.float32))
    pruner = InfluencePruner(mlp(), **CALM).fit(rows, Y)
    kept = pruner.transform(rows)
    assert isinstance(kept, SliceDict)
    assert kept.shape == (N // 2,)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "it has none"),
        ({"a": 3.0}, r"one entry per row; X\['a'\] is a single float. Give an array"),
        ({"a": X, "b": X[:-1]}, r"same length; it has {'a': 90, 'b': 89}"),
        ({"a": np.array(["x"] * N)}, r"X\['a'\] has dtype <U1"),
        ({"a": np.full((N, 2), np.inf)}, r"X\['a'\] has NaN or infinity, the first in row 0"),
        ({"a": X[:1]}, "1 sample"),
    ],
)
def test_dicts_that_are_no_rows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        InfluencePruner(mlp(), **CALM).fit(rows, Y)


def test_without_a_network_a_table_is_needed():
    for rows in ({"a": X}, TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))):
        with pytest.raises(
            ValueError, match="estimator=None is a linear model on .*give a network"
        ):
            InfluencePruner(**CALM).fit(rows, Y)


def test_a_sparse_matrix_that_is_a_dict_is_a_matrix():
    rows = sparse.dok_array(np.round(X) * (X > 1))
    pruner = RandomPruner(0.5, random_state=0).fit(rows, Y)
    np.testing.assert_array_equal(pruner.transform(rows).toarray(), rows.toarray()[pruner.support_])


# Datasets


class Drawn(torch.utils.data.Dataset):
    """Rows that are drawn anew each time, and targets as Python numbers."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return X[i].astype(np.float32) + 0.01 * torch.randn(4).numpy(), int(Y[i])


def test_a_dataset_prunes_as_the_arrays_in_it(expected):
    dataset = TensorDataset(torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(Y))
    pruner = InfluencePruner(mlp(), **CALM).fit(dataset)
    same(pruner, expected)
    np.testing.assert_array_equal(pruner.classes_, [0, 1, 2])
    kept = pruner.transform(dataset)
    assert isinstance(kept, Subset)
    assert kept.dataset is dataset
    assert kept.indices == pruner.sample_indices_.tolist()
    assert pruner.prune(dataset).indices == kept.indices
    mlp(train_split=None).fit(kept, None)


def test_a_dataset_that_draws_its_rows_is_known_by_being_itself():
    dataset, state = Drawn(), torch.get_rng_state()
    pruner = RandomPruner(0.5, random_state=0).fit(dataset)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(pruner.transform(dataset)) == N // 2
    other = Drawn()
    assert pruner.transform(other) is other
    assert len(pruner.prune(other)) == N // 2
    again = pickle.loads(pickle.dumps(pruner))
    assert again.transform(dataset) is dataset
    assert len(again.prune(dataset)) == N // 2


def test_a_frozen_network_reads_a_dataset():
    net = mlp().fit(X.astype(np.float32), Y)
    dataset = TensorDataset(torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(Y))
    pruner = InfluencePruner(FrozenEstimator(net), **CALM).fit(dataset, Y)
    same(pruner, InfluencePruner(FrozenEstimator(net), **CALM).fit(X, Y))


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y, strict=True)


class Triples(Drawn):
    def __getitem__(self, i):
        return X[i], Y[i], i


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Stream(), "this Stream lacks one of them. Give a dataset with __len__"),
        (Triples(), "item 0 of this Triples is a tuple. Return pairs"),
        (
            TensorDataset(torch.as_tensor(X).float(), torch.as_tensor(Y + 1)),
            r"must be the codes 0 to 2; they are \[1, 2, 3\]. Encode them",
        ),
    ],
)
def test_datasets_that_cannot_be_pruned_are_refused(dataset, message):
    with pytest.raises(ValueError, match=message):
        InfluencePruner(mlp(), **CALM).fit(dataset)


# Pipelines


def test_a_pipeline_takes_dicts_and_datasets():
    dataset = TensorDataset(torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(Y))
    for rows in (dataset, {"X": X.astype(np.float32)}):
        pipe = make_pipeline(InfluencePruner(mlp(), **CALM), mlp(train_split=None, batch_size=1))
        pipe.fit(rows, Y)
        assert pipe[-1].history[-1]["train_batch_count"] == N // 2
        assert len(pipe.predict(rows)) == N


# Features


def test_many_features_are_kept_in_a_file_without_a_name(monkeypatch, tmp_path, expected):
    monkeypatch.setattr(last_layer, "SPILL_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pruner = InfluencePruner(mlp(), **CALM).fit(X, Y)
    assert isinstance(pruner.influence_.objective.design, np.memmap)
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(pruner.support_, expected.support_)
    np.testing.assert_array_equal(pruner.influence_norms_, expected.influence_norms_)
    again = pickle.loads(pickle.dumps(pruner))
    np.testing.assert_array_equal(again.select(prune_ratio=0.3), expected.select(prune_ratio=0.3))
