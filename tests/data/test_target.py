"""The target in any container: what is taken, and what the errors say."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from tests.data.test_values import NUMBERS, QUICK, WORDS, N, X, Y


@pytest.mark.parametrize("y", [*WORDS.values(), *NUMBERS.values()])
def test_every_pruner_refuses_missing_labels(y):
    with pytest.raises(ValueError, match="y must not be missing .* the first in row 4"):
        RandomPruner().fit(X, y)


@pytest.mark.parametrize("sparse", [sp.csr_array, sp.csc_matrix])
def test_a_sparse_target_says_how_to_give_it(sparse):
    with pytest.raises(ValueError, match=r"y needs a dense array; .* sparse .*Give y\.toarray\(\)"):
        InfluencePruner(**QUICK).fit(X, sparse(Y[:, None]))


def test_a_dataset_of_dicts_is_refused_with_and_without_y():
    class Dicts(torch.utils.data.Dataset):
        def __len__(self):
            return N

        def __getitem__(self, i):
            return {"x": X[i], "y": Y[i]}

    for y in (None, Y):
        with pytest.raises(ValueError, match="item 0 of this Dicts is a dict. Return pairs"):
            RandomPruner().fit(Dicts(), y)


@pytest.mark.parametrize("y", [[2**70 + i for i in range(N)], np.arange(N) * 1e19])
def test_numbers_beyond_64_bits_are_numbers_without_a_warning(y):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        pruner = RandomPruner().fit(X, y)
    assert not hasattr(pruner, "classes_")
