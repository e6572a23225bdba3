"""The speed protocol on a few made-up images: the recipe does what its literature says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks import cifar10_proxies as proxies
from benchmarks import cifar10_speed as speed
from benchmarks import cifar10_speed_table as speed_table
from benchmarks._common import BENCHMARKS_README, RESULTS
from benchmarks.cells import read_records
from benchmarks.cifar10_choices import PRUNERS, Choice, Chooser
from benchmarks.cifar10_images import Images
from benchmarks.cifar10_speed_report import report

DESIGN = speed.Design(widths=(8, 8, 8))


@pytest.fixture(scope="module")
def images():
    """Noise, each class with a colour of its own."""
    rng = np.random.default_rng(0)
    y = np.arange(100) % 10
    colours = rng.integers(0, 190, (10, 3, 1, 1))
    X = rng.integers(0, 60, (100, 3, 32, 32)) + colours[y]
    return speed.ImageSet(X.astype(np.uint8), y)


@pytest.fixture
def small(monkeypatch):
    """The standard network, but small."""
    monkeypatch.setitem(speed_table.DESIGNS, "standard", DESIGN)
    original = speed.train
    monkeypatch.setattr(
        proxies.speed,
        "train",
        lambda *args, **kwargs: original(*args, **{"design": DESIGN} | kwargs),
    )


def test_whitened_patches_are_uncorrelated_with_variance_one(images):
    net = speed.SpeedNet(DESIGN)
    net.whiten(images.X)
    with torch.no_grad():
        whitened = F.conv2d(net.normalised(images.X), net.filters).double()
    half = whitened[:, :12].transpose(0, 1).reshape(12, -1)
    second_moments = half @ half.T / half.shape[1]
    # Directions of small variance are damped, so the diagonal is at most 1.
    off_diagonal = second_moments - torch.diag(second_moments.diag())
    assert off_diagonal.abs().max() < 1e-4
    assert 0.9 < float(second_moments.diag().max()) <= 1 + 1e-4
    assert torch.equal(whitened[:, 12:], -whitened[:, :12])


def test_convolutions_start_as_the_identity_on_their_first_channels():
    layer = speed._identity_convolution(4, 6, 3)
    X = torch.randn(2, 4, 8, 8)
    assert torch.allclose(layer(X)[:, :4], X, atol=1e-6)


def test_each_image_is_flipped_in_every_other_epoch(images):
    epochs = speed.epochs_of(images, 0, seed=0)
    # Labels do not tell images apart, but without a shift an image or its mirror image is there.
    flips = []
    for _ in range(4):
        X, _ = next(epochs)
        found = [bool((image.flip(-1) == X).all((1, 2, 3)).any()) for image in images.X]
        flips.append(found)
        assert len(X) == len(images)
    assert flips[0] == flips[2] != flips[1] == flips[3]
    assert np.array_equal(np.array(flips[0]), ~np.array(flips[1]))


def test_an_image_moves_by_at_most_the_shift_with_reflected_borders(images):
    one = images.rows(np.array([3]))
    X, _ = next(speed.epochs_of(one, 2, seed=0))
    padded = F.pad(one.X.float(), (2,) * 4, mode="reflect")
    windows = [
        padded[0, :, top : top + 32, left : left + 32] for top in range(5) for left in range(5)
    ]
    windows += [window.flip(-1) for window in windows]
    assert any(torch.equal(X[0].float(), window) for window in windows)


def test_batches_go_over_all_images_before_any_comes_again(images):
    batches = speed.batches_of(images, 30, 0, seed=0)
    labels = torch.cat([next(batches)[1] for _ in range(10)])
    for first in range(0, 300, 100):
        counts = torch.bincount(labels[first : first + 100])
        assert counts.tolist() == [10] * 10


def test_the_learning_rate_rises_to_its_peak_and_falls():
    recipe = speed.Recipe()
    shares = [speed._share_of_rate(recipe, done) for done in (0.0, recipe.peak_at, 1.0)]
    assert shares == [recipe.start, 1.0, recipe.end]


def test_training_learns_and_repeats_exactly(images):
    recipe, design = speed.Recipe(batch_size=20, lr=2.0), speed.Design(widths=(16, 16, 16))
    first, again = (speed.train(images, 10, 0, design=design, recipe=recipe).net for _ in range(2))
    assert speed.accuracy(first, images) > 0.5
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_scores_of_a_proxy_are_those_of_its_predictions(images):
    seen = []
    recipe = speed.Recipe(batch_size=20)

    def watch(net, lr):
        seen.append((proxies._seen(net, images, lr), net(images.X).softmax(1).detach(), lr))

    trained = speed.train(images, 1, 0, design=DESIGN, recipe=recipe, watch=watch, n_watched=1)
    [((own, margin, error, agreement), _, lr)] = seen
    trained.net.eval()
    features, logits = next(speed.read(trained.net, images.X))
    p, y = logits.softmax(1).double(), images.y
    rows = torch.arange(len(y))
    one_hot = F.one_hot(y, 10)
    others = torch.where(one_hot.bool(), -1.0, p).amax(1)
    assert torch.allclose(own.double(), p[rows, y], atol=1e-5)
    assert torch.allclose(margin.double(), p[rows, y] - others, atol=1e-5)
    assert torch.allclose(error.double(), (p - one_hot).norm(dim=1), atol=1e-5)
    gradients = torch.einsum("ij,ik->ijk", p - one_hot, features.double()).flatten(1)
    total = gradients.sum(0)
    expected = lr * (gradients * (total - gradients)).sum(1) / (len(y) - 1)
    assert torch.allclose(agreement.double(), expected, rtol=1e-3, atol=1e-5)


def test_a_choice_and_a_proxy_are_read_as_they_were_saved(tmp_path, images, small):
    support = np.random.default_rng(0).random(100) < 0.3
    Choice(support, 1.5).save(tmp_path / "a" / "choice.npz")
    choice = Choice.load(tmp_path / "a" / "choice.npz")
    assert np.array_equal(choice.support, support) and choice.seconds == 1.5
    proxy = proxies.train_proxy(images, images, 2, 0)
    proxy.save(tmp_path / "proxy.npz")
    for name, saved in vars(proxies.Proxy.load(tmp_path / "proxy.npz")).items():
        assert np.array_equal(saved, getattr(proxy, name))


def test_the_hardest_images_stay_by_el2n_and_the_shares_of_classes(images, small):
    proxy = proxies.train_proxy(images, images, 2, 0)
    y = images.y.numpy()
    support = Chooser(y, proxy, None, 0).choose("el2n", 0.4).support
    error = proxy.error.mean(0, dtype=np.float64)
    for label in range(10):
        kept, gone = error[support & (y == label)], error[~support & (y == label)]
        assert len(kept) == 6 and kept.min() >= gone.max()


def test_the_readme_says_what_was_measured():
    cells = read_records(RESULTS / "cifar10_speed.csv", speed_table.SpeedCell)
    means = {
        (pruner, ratio): np.mean([c.accuracy for c in cells if _is_shown(c, pruner, ratio)])
        for pruner, ratio in (("random", 0.4), (speed_table.OURS, 0.4), ("el2n", 0.4))
    }
    text = BENCHMARKS_README.read_text("utf-8")
    for mean in means.values():
        assert f"| {100 * mean:.2f}" in text


def _is_shown(cell, pruner, ratio):
    key = (cell.split, cell.pruner, cell.prune_ratio, cell.design, cell.n_epochs)
    return key == ("test", pruner, ratio, "standard", speed_table.N_EPOCHS)


def test_the_rule_of_a_ratio_is_the_better_one_on_images_to_validate_on():
    def cell(rule, ratio, accuracy, split="validation"):
        rest = {"n_kept": 1, "n_steps": 1, "seconds": 1.0, "hardware": ""}
        setting = (split, rule, ratio, "standard", 1.0, 0)
        return speed_table.SpeedCell(*setting, accuracy=accuracy, **rest)

    hard, sure = speed_table.RULES
    cells = [cell(hard, 0.4, 0.9), cell(sure, 0.4, 0.8), cell(hard, 0.9, 0.6), cell(sure, 0.9, 0.7)]
    cells += [cell(sure, 0.4, 1.0, "test")]
    assert speed_table.best_rules(cells) == {0.4: hard, 0.9: sure}


def test_every_stage_goes_on_where_it_stopped(tmp_path, images, small, monkeypatch):
    X, y = images.X.numpy(), images.y.numpy()
    embedding = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float16)
    made_up = Images(X, y, X[:50], y[:50], embedding)
    monkeypatch.setattr(speed_table, "read_images", lambda folder: made_up)
    command = ["--epochs", "12", "--seeds", "1", "--full-seeds", "1", "--pruner", *PRUNERS]
    command += ["--ratio", "0.5", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path)]
    speed_table.main(command)
    cells = read_records(tmp_path / "cifar10_speed.csv", speed_table.SpeedCell)
    assert {cell.pruner for cell in cells} == {speed_table.FULL, *PRUNERS}
    assert len(cells) == 1 + 2 * len(PRUNERS)
    # As many steps as on all images are twice the epochs on half of them.
    assert {cell.n_epochs for cell in cells if cell.pruner == "random"} == {12.0, 24.0}
    assert "### As many steps as on all images" in report(cells)
    monkeypatch.setattr(speed, "train", None)
    speed_table.main(command)
    assert read_records(tmp_path / "cifar10_speed.csv", speed_table.SpeedCell) == cells
