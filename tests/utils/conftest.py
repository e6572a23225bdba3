import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_blas_thread():
    """Keep the small matrices of these tests from being shared out among busy cores."""
    with threadpool_limits(limits=1):
        yield
