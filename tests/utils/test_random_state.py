"""Training takes turns with torch's one generator, and puts it back."""

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import EL2NPruner, HerdingPruner
from sklearn_prune.utils import drawn_seed
from sklearn_prune.utils.random_state import own_random_state

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4)).astype(np.float32)
Y = (X[:, 0] + 0.3 * RNG.standard_normal(120) > 0).astype(int)


def test_a_seed_is_the_same_for_a_number_and_new_at_each_draw_from_a_generator():
    assert drawn_seed(0) == drawn_seed(0) != drawn_seed(1)
    generator = np.random.RandomState(0)
    assert drawn_seed(generator) == drawn_seed(0) != drawn_seed(generator)


class Dropping(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))


def shuffling_net():
    return NeuralNetClassifier(
        Dropping,
        criterion=nn.CrossEntropyLoss,
        max_epochs=8,
        lr=0.3,
        batch_size=16,
        iterator_train__shuffle=True,
        verbose=0,
    )


PRUNERS = {
    "influence": lambda: InfluencePruner(shuffling_net(), damping=1e-2, random_state=0),
    "all layers": lambda: InfluencePruner(
        shuffling_net(), layers="all", damping=1e-2, random_state=0
    ),
    "herding": lambda: HerdingPruner(shuffling_net(), random_state=0),
    "el2n": lambda: EL2NPruner(shuffling_net(), n_epochs=2, n_networks=2, random_state=0),
}


@pytest.mark.parametrize("name", PRUNERS)
def test_fits_in_several_threads_keep_the_rows_that_each_keeps_alone(name):
    alone = PRUNERS[name]().fit(X, Y).get_support()
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda _: PRUNERS[name]().fit(X, Y).get_support(), range(6)))
    for support in together:
        np.testing.assert_array_equal(support, alone)


def test_the_users_generators_are_as_before_fits_in_several_threads():
    torch.manual_seed(7)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: PRUNERS["influence"]().fit(X, Y), range(6)))
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_one_thread_at_a_time_draws():
    overlaps, inside = [], []

    def draw(seed):
        with own_random_state(seed):
            inside.append(seed)
            overlaps.append(len(inside))
            drawn = [torch.rand(1).item() for _ in range(200)]
            inside.remove(seed)
        return drawn

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(draw, range(16)))
    assert set(overlaps) == {1}
    assert found == [draw(seed) for seed in range(16)]


def test_a_thread_may_go_in_again():
    with own_random_state(1):
        first = torch.rand(1)
        with own_random_state(1):
            assert torch.equal(torch.rand(1), first)


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def in_child(job):
    """Run in a forked child, and return what it writes and whether it ended in time."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        # Python's own, about forks of processes with threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        try:
            os.write(write, job().encode())
        finally:
            os._exit(0)
    os.close(write)
    timer = threading.Timer(60, os.kill, (pid, 9))
    timer.start()
    with os.fdopen(read) as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    timer.cancel()
    return told


@forks
def test_a_forked_child_of_a_fit_on_several_threads_fits_and_is_warned():
    def fit():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with own_random_state():
                # Enough numbers for torch to share out.
                torch.rand(2000, 2000) @ torch.rand(2000, 200)
        return f"{torch.get_num_threads()} thread; " + " ".join(str(w.message) for w in caught)

    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with own_random_state():
            torch.rand(2000, 2000).exp().sum()
        told = in_child(fit)
    finally:
        torch.set_num_threads(n_threads)
    assert told.startswith("1 thread; ")
    assert "forked after torch had run on 2 threads" in told
    assert "'spawn'" in told


@forks
def test_a_child_that_is_forked_during_another_threads_turn_has_its_own():
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with own_random_state():
            entered.set()
            leave.wait(60)

    def take_turn():
        with own_random_state():
            return "had a turn"

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(60)
    try:
        assert in_child(take_turn) == "had a turn"
    finally:
        leave.set()
        thread.join()
