import pytest

from sklearn_prune.influence.layers.parameters import choose_parameters, parameter_blocks
from tests.influence.networks import mlp


def test_patterns_choose_parameters_in_the_networks_order():
    module = mlp(3)
    assert choose_parameters(module, "all") == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert choose_parameters(module, ["2.*", "*.bias"]) == ["0.bias", "2.weight", "2.bias"]
    module[0].weight.requires_grad_(False)
    assert choose_parameters(module, ["0.*"]) == ["0.bias"]
    shapes = [(b.names, b.shape) for b in parameter_blocks(module, ["0.bias", "2.weight"])]
    assert shapes == [(("0.bias",), (5,)), (("2.weight",), (3, 5))]


def test_a_pattern_that_matches_nothing_is_named_beside_the_layers_there_are():
    with pytest.raises(ValueError, match=r"'encoder\.\*'.*names: 0\.weight, 0\.bias, 2\.weight"):
        choose_parameters(mlp(3), ["2.*", "encoder.*"])
