import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from sklearn_prune.influence._parallel import map_threads

from .heads import random_objective


@pytest.mark.parametrize("limit", [1, 2])
def test_results_come_in_the_order_of_the_items(limit):
    with threadpool_limits(limits=limit):
        assert map_threads(lambda i: i * i, range(50)) == [i * i for i in range(50)]


def test_an_error_in_one_item_is_raised():
    def fail(i):
        raise KeyError(i)

    with threadpool_limits(limits=2), pytest.raises(KeyError, match="1"):
        map_threads(fail, [1, 2])


def test_sums_are_the_same_on_one_thread_and_on_several():
    objective, theta = random_objective("softmax", n=10_000, d=40)
    with threadpool_limits(limits=2):
        several = objective.gradient(theta), objective.hessian(theta)
    with threadpool_limits(limits=1):
        one = objective.gradient(theta), objective.hessian(theta)
    np.testing.assert_array_equal(several[0], one[0])
    np.testing.assert_array_equal(several[1], one[1])
