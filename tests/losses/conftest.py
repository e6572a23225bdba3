import pytest
from threadpoolctl import threadpool_limits

from tests.influence.heads import LOSSES, random_objective


@pytest.fixture(autouse=True)
def one_blas_thread():
    """Keep the small matrices of these tests from being shared out among busy cores."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(params=sorted(LOSSES))
def sample(request):
    """Return each loss with its name, and outputs and targets for it."""
    objective, theta = random_objective(request.param, n=30)
    return request.param, objective.loss, objective.design @ theta.T, objective.targets
