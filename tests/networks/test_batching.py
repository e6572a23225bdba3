import numpy as np
import pytest
import torch
from scipy import sparse
from skorch import NeuralNetRegressor
from torch import nn

from sklearn_prune.networks import batches, map_tensors, merged, tensors_of
from sklearn_prune.networks import batching as batching_module
from sklearn_prune.networks.batching import cast_input, first_of, joined

X = np.random.default_rng(0).standard_normal((10, 4))


@pytest.fixture(scope="module")
def net():
    return NeuralNetRegressor(nn.Linear(4, 1), batch_size=3, verbose=0).initialize()


@pytest.mark.parametrize("to_rows", [np.asarray, sparse.csr_matrix, sparse.csr_array])
def test_batches_are_the_rows_in_order_and_in_the_networks_dtype(net, to_rows):
    inputs = [x for x, _ in batches(net, to_rows(X))]
    assert [len(x) for x in inputs] == [3, 3, 3, 1]
    np.testing.assert_array_equal(torch.cat(inputs), X.astype(np.float32))


def test_a_dict_is_cast_array_by_array(net):
    cast = cast_input(net, {"a": X, "names": ["no", "numbers"]})
    assert cast["a"].dtype == np.float32
    assert cast["names"] == ["no", "numbers"]


NESTED = {"a": torch.arange(4.0), "b": [torch.ones(4, 2), (torch.zeros(4),)]}


def test_every_tensor_of_a_nested_batch_is_mapped():
    doubled = map_tensors(lambda tensor: 2 * tensor, NESTED)
    assert [len(tensor) for tensor in tensors_of(NESTED)] == [4, 4, 4]
    assert isinstance(doubled["b"][1], tuple)
    torch.testing.assert_close(doubled["b"][0], 2 * torch.ones(4, 2))


def test_joined_batches_are_concatenated_tensor_by_tensor():
    twice = joined([NESTED, NESTED])
    torch.testing.assert_close(twice["a"], torch.arange(4.0).repeat(2))
    assert twice["b"][0].shape == (8, 2)
    assert joined([NESTED]) is NESTED


def test_small_batches_are_merged_up_to_a_size(monkeypatch):
    monkeypatch.setattr(batching_module, "MERGED_SIZE", 20)
    parts = [(torch.full((3, 4), float(i)), None) for i in range(5)]
    assert [len(x) for x in merged(parts)] == [6, 6, 3]
    torch.testing.assert_close(torch.cat(list(merged(parts))), torch.cat([x for x, _ in parts]))


def test_the_first_of_several_outputs_is_the_criterions():
    first, second = torch.ones(2), torch.zeros(2)
    assert first_of((first, second)) is first
    assert first_of(first) is first
