"""The speed protocol on a few made-up images: the recipe does what its literature says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks import cifar10_proxies as proxies
from benchmarks import cifar10_speed as speed
from benchmarks import cifar10_speed_jobs as speed_jobs
from benchmarks import cifar10_speed_table as speed_table
from benchmarks._common import BENCHMARKS_README, RESULTS
from benchmarks.cells import read_records
from benchmarks.cifar10_choices import PRUNERS, Choice, Chooser, as_they_are
from benchmarks.cifar10_images import Images
from benchmarks.cifar10_speed_jobs import FULL, OURS, Block, Job, SpeedCell, rules_at
from benchmarks.cifar10_speed_report import report
from benchmarks.scores import gain
from sklearn_prune.baselines._scored import ScoringJob, penultimate_features

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
    """The standard network and proxies, but small."""
    monkeypatch.setitem(speed_jobs.DESIGNS, "standard", DESIGN)
    original = speed.train
    monkeypatch.setattr(
        speed, "train", lambda *args, **kwargs: original(*args, **{"design": DESIGN} | kwargs)
    )


@pytest.fixture
def made_up(monkeypatch, images):
    """The program reads these images."""
    X, y = images.X.numpy(), images.y.numpy()
    monkeypatch.setattr(
        speed_table, "read_images", lambda folder: Images(X, y, X[:50], y[:50], None)
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
    # In front is the direction of the largest variance, which is damped least.
    assert second_moments.diag().argmax() == 0
    assert torch.equal(whitened[:, 12:], -whitened[:, :12])


@pytest.mark.parametrize("kernel", [3, 5])
def test_convolutions_start_as_the_identity_on_their_first_channels(kernel):
    layer = speed._identity_convolution(4, 6, kernel)
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
    image = images.rows(np.array([3]))
    padded = F.pad(image.X.float(), (2,) * 4, mode="reflect")
    windows = [
        padded[0, :, top : top + 32, left : left + 32] for top in range(5) for left in range(5)
    ]
    windows += [window.flip(-1) for window in windows]
    epochs = speed.epochs_of(image, 2, seed=0)
    seen = set()
    for _ in range(10):
        X, _ = next(epochs)
        [place] = [i for i, window in enumerate(windows) if torch.equal(X[0].float(), window)]
        seen.add(place)
    assert len(seen) > 5


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
    assert speed._share_of_rate(recipe, recipe.peak_at / 2) == pytest.approx(0.6)


def test_a_step_without_momentum_has_the_recipes_rate_and_decay_over_its_slowdown():
    net = speed.SpeedNet(DESIGN)
    recipe = speed.Recipe(batch_size=50)
    others, biases = speed._optimizer(net, recipe).param_groups
    n_learned = sum(parameter.requires_grad for parameter in net.parameters())
    assert len(others["params"]) + len(biases["params"]) == n_learned
    # Six convolutions are followed by a normalisation each.
    assert [len(bias) for bias in biases["params"]] == [8] * 6
    slowdown = 1 + 1 / 0.15
    # Of the sum of the losses.
    assert others["lr"] == pytest.approx(11.5 / slowdown / 50)
    assert biases["lr"] == pytest.approx(64 * others["lr"])
    for group in (others, biases):
        assert group["lr"] * group["weight_decay"] == pytest.approx(0.0153 / slowdown)


def test_a_look_ahead_averages_and_the_last_one_only_reads_the_average():
    recipe = speed.Recipe()
    net = speed.SpeedNet(DESIGN)
    before = [torch.zeros_like(tensor) for tensor in speed._moving(net)]
    averaged = [tensor.clone() for tensor in before]
    trained = [tensor.clone() for tensor in speed._moving(net)]
    speed._look_ahead(net, averaged, recipe, 0.5)
    weight = 1 - 0.95**5 / 8
    for tensor, mean, old in zip(speed._moving(net), averaged, trained, strict=True):
        assert torch.allclose(mean, weight * old)
        assert torch.equal(tensor, mean)
    speed._look_ahead(net, before, recipe, 1.0)
    assert all(not tensor.any() for tensor in [*before, *speed._moving(net)])


def test_the_bias_of_the_whitening_layer_learns_at_the_beginning_only(images):
    biases = []

    def watch(net, lr):
        biases.append(net.whitening_bias.detach().clone())

    # With weight 0, the average is the network itself.
    recipe = speed.Recipe(batch_size=20, averaged_every=1, averaging=0.0)
    speed.train(images, 2, 0, design=DESIGN, recipe=recipe, watch=watch, n_watched=10)
    assert len(biases) == 10
    is_moved = [not torch.equal(a, b) for a, b in zip(biases, biases[1:], strict=False)]
    assert is_moved == [True] * 2 + [False] * 7


def test_training_learns_and_repeats_exactly(images):
    recipe, design = speed.Recipe(batch_size=20, lr=2.0), speed.Design(widths=(16, 16, 16))
    first, again = (speed.train(images, 10, 0, design=design, recipe=recipe).net for _ in range(2))
    assert speed.accuracy(first, images) > 0.5
    for parameter, same in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(parameter, same)


def test_a_network_is_watched_at_even_steps_and_at_the_last(images):
    recipe = speed.Recipe(batch_size=20)
    rates = []

    def watch(net, lr):
        assert not net.training
        rates.append(lr)

    speed.train(images, 2, 0, design=DESIGN, recipe=recipe, watch=watch, n_watched=4)
    # After the third, fifth, eighth and tenth of ten steps, the first of which is at 0.
    shares = [speed._share_of_rate(recipe, step / 10) for step in (2, 4, 7, 9)]
    # For the mean loss of a batch.
    assert rates == pytest.approx([11.5 / recipe.slowdown * share for share in shares])


def test_accuracy_is_that_of_the_mean_logits_of_an_image_and_its_mirror_image(images, monkeypatch):
    monkeypatch.setattr(speed, "reduced_precision", lambda: torch.autocast("cpu", enabled=False))
    net = speed.train(images, 4, 0, design=DESIGN, recipe=speed.Recipe(batch_size=20)).net
    mirrored = images.X.flip(-1)
    [(_, logits)] = speed.read(net, images.X, mirrored=True)
    [(_, own)], [(_, other)] = speed.read(net, images.X), speed.read(net, mirrored)
    assert not torch.allclose(own, other, atol=1e-4)
    assert torch.allclose(logits, (own + other) / 2, atol=1e-4)
    right = (logits.argmax(1) == images.y).double().mean()
    assert speed.accuracy(net, images) == pytest.approx(float(right))


def test_features_of_a_proxy_are_on_principal_axes_with_mean_square_one(images, small):
    features = proxies.train_proxy(images, images, 12, 0).features.astype(np.float64)
    assert np.mean(features**2) == pytest.approx(1, rel=1e-2)
    assert np.abs(features.mean(0)).max() < 1e-2
    second_moments = features.T @ features / len(features)
    variances = np.diag(second_moments)
    assert np.abs(second_moments - np.diag(variances)).max() < 1e-2 * variances.max()
    assert (np.diff(variances) <= 1e-3).all()


def test_the_scores_of_a_proxy_are_those_of_its_predictions(images):
    seen = []
    recipe = speed.Recipe(batch_size=20)

    def watch(net, lr):
        seen.append((proxies._seen(net, images, lr), lr))

    trained = speed.train(images, 3, 0, design=DESIGN, recipe=recipe, watch=watch, n_watched=1)
    [((own, margin, error, agreement), lr)] = seen
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
    proxy = proxies.train_proxy(images, images, 12, 0)
    proxy.save(tmp_path / "proxy.npz")
    for name, saved in vars(proxies.Proxy.load(tmp_path / "proxy.npz")).items():
        assert np.array_equal(saved, getattr(proxy, name))


def test_the_hardest_images_stay_by_el2n_and_the_shares_of_classes(images, small):
    proxy = proxies.train_proxy(images, images, 12, 0)
    y = images.y.numpy()
    support = Chooser(y, proxy, 0).choose("el2n", 0.4).support
    assert_highest_stay(proxy.error.mean(0, dtype=np.float64), support, y)


def assert_highest_stay(scores, support, y):
    for label in range(10):
        kept, gone = scores[support & (y == label)], scores[~support & (y == label)]
        assert len(kept) == 6 and kept.min() >= gone.max()


def test_scores_of_predictions_are_those_of_their_literature():
    rng = np.random.default_rng(0)
    y = np.arange(100) % 10
    p = rng.dirichlet(np.full(10, 0.3), (6, 100))
    own = p[:, np.arange(100), y]
    others = np.where(np.arange(10) == y[:, None], -1, p).max(2)
    unused = np.zeros(0)
    proxy = proxies.Proxy(own, own - others, unused, unused, unused, unused, unused)
    chooser = Chooser(y, proxy, 0)
    assert_highest_stay(-p[-1].max(1), chooser.choose("least confidence", 0.4).support, y)
    is_right = p.argmax(2) == y
    n_forgotten = [
        np.inf if not row.any() else sum(a and not b for a, b in zip(row, row[1:], strict=False))
        for row in is_right.T
    ]
    assert_highest_stay(np.array(n_forgotten), chooser.choose("forgetting", 0.4).support, y)


def test_rules_give_priority_to_large_errors_or_to_images_that_the_proxy_is_unsure_of(monkeypatch):
    given = {}

    def by_influence(chooser, name, priority, ratio):
        given[name] = priority
        return np.ones(len(priority), dtype=bool)

    monkeypatch.setattr(Chooser, "by_influence", by_influence)
    own = np.array([[0.9, 0.1], [0.8, 0.5]])
    error = np.array([[1.0, 0.5], [0.0, 0.5]])
    unused = np.zeros(0)
    chooser = Chooser(
        np.arange(2), proxies.Proxy(own, unused, error, unused, unused, unused, unused), 0
    )
    for rule in ("influence, hard", "influence, sure"):
        chooser.choose(rule, 0.5)
    assert given["hard"] == pytest.approx([0.25, 0.25])
    assert given["sure"] == pytest.approx([0.8 * 0.4, 0.5 * 0.5])


def made_up_proxy(rng, n):
    """Six looks of a proxy at n images, whose features tell nothing."""
    own = rng.uniform(0.05, 0.95, (6, n))
    unused = np.zeros(0)
    features = rng.normal(size=(n, 8)).astype(np.float16)
    return proxies.Proxy(own, 2 * own - 1, 1 - own, own, features, unused, unused)


def test_most_of_what_the_hardest_rules_drop_are_the_easiest_images():
    rng = np.random.default_rng(0)
    y, proxy = np.arange(400) % 10, made_up_proxy(rng, 400)
    error = proxy.error.mean(0)
    chooser = Chooser(y, proxy, 0)
    in_class = ~chooser.choose("influence, hardest", 0.4).support
    assert np.bincount(y[in_class]).tolist() == [16] * 10
    for label in range(10):
        rows = np.flatnonzero(y == label)
        assert in_class[rows[np.argsort(error[rows])[:12]]].all()
    of_all = ~chooser.choose("influence, hardest of all", 0.4).support
    assert of_all.sum() == 160
    assert of_all[np.argsort(error)[:140]].all()


def test_spread_images_are_candidates_and_each_class_keeps_its_share():
    rng = np.random.default_rng(0)
    y, proxy = np.arange(400) % 4, made_up_proxy(rng, 400)
    support = Chooser(y, proxy, 0).choose("influence, spread", 0.8).support
    assert np.bincount(y[support]).tolist() == [20] * 4
    # Images kept are further from each other than random ones are.
    X = proxy.features.astype(np.float64)

    def nearest(rows):
        distance = np.linalg.norm(X[rows][:, None] - X[rows], axis=2)
        return (distance + 99 * np.eye(len(rows))).min(1).mean()

    kept = [nearest(np.flatnonzero(support & (y == label))) for label in range(4)]
    drawn = [nearest(rng.choice(np.flatnonzero(y == label), 20, False)) for label in range(4)]
    assert np.mean(kept) > np.mean(drawn)


def test_rivals_read_the_features_of_a_proxy_as_they_are():
    """Scaled columns would be another geometry: far images, not near ones, would count alike."""
    rng = np.random.default_rng(0)
    y, proxy = np.arange(200) % 10, made_up_proxy(rng, 200)
    proxy.features[:, 0] *= 20
    chooser = Chooser(y, proxy, 0)
    for name in ("d2", "geometric median", "zero-shot coverage"):
        support = chooser.choose(name, 0.5).support
        assert np.bincount(y[support]).tolist() == [10] * 10
    X = proxy.features.astype(np.float32)
    read = penultimate_features(ScoringJob(as_they_are(8), X, y, np.arange(10), [], 0))
    np.testing.assert_array_equal(read, X)


def test_a_pruner_that_needs_a_proxy_says_so():
    with pytest.raises(FileNotFoundError, match="--stage proxy"):
        Chooser(np.arange(100) % 10, None, 0).choose("el2n", 0.4)


def test_the_readme_says_what_was_measured():
    cells = read_records(RESULTS / "cifar10_speed.csv", SpeedCell)
    lines = BENCHMARKS_README.read_text("utf-8").splitlines()
    names = {
        "random": "random",
        "`InfluencePruner`, best rule": OURS,
        "EL2N, hardest kept": "el2n",
        "coverage (CCS)": "coverage",
        "DUAL": "dual",
    }
    for label, pruner in names.items():
        [line] = [line for line in lines if line.startswith(f"| {label} | ")]
        columns = line.replace("−", "-").split(" | ")[1:]
        for column, ratio, n_epochs in zip(
            columns, (0.4, 0.4, 0.9), (12.0, 20.0, 120.0), strict=True
        ):
            run = run_of(cells, pruner, ratio, n_epochs)
            assert column.startswith(f"{100 * np.mean(list(run.values())):.2f}")
            over = gain(run, run_of(cells, "random", ratio, n_epochs))
            if pruner != "random" and over.n_seeds > 1:
                assert f"({100 * over.mean:+.2f} ± {100 * over.half:.2f}, {len(run)}" in column


def run_of(cells, pruner, ratio, n_epochs):
    setting = ("test", pruner, ratio, "standard", n_epochs)
    return {
        c.seed: c.accuracy
        for c in cells
        if (c.split, c.pruner, c.prune_ratio, c.design, c.n_epochs) == setting
    }


def test_the_table_names_each_network_once_and_all_that_were_measured():
    keys = [job.key for block in speed_jobs.TABLE for job in block.jobs()]
    assert len(set(keys)) == len(keys)
    cells = read_records(RESULTS / "cifar10_speed.csv", SpeedCell)
    assert {cell.key for cell in cells} <= set(keys)
    assert len(speed_jobs.DESIGNS) == 1 + 24
    assert set(speed_jobs.TRANSFERS) < set(speed_jobs.DESIGNS)


def test_as_many_steps_are_more_passes_over_fewer_images():
    [job] = Block(["random"], 0.75, range(3, 4), ["steps"]).jobs(12.0)
    assert job == Job("test", "random", 0.75, "standard", 48.0, 3)
    # A network of a further seed is trained on images chosen before.
    assert job.choices == [speed_jobs.ChoiceKey("test", 0, "random", 0.75)]


def test_the_rule_of_a_ratio_is_the_best_one_on_images_to_validate_on():
    at_40, at_90 = rules_at(0.4), rules_at(0.9)
    cells = [cell(rule, 0.4, 0.8, split="validation") for rule in at_40[1:]]
    cells += [cell(rule, 0.9, 0.6, split="validation") for rule in at_90[:-1]]
    cells += [
        cell(at_40[0], 0.4, 0.9, split="validation"),
        cell(at_90[-1], 0.9, 0.7, split="validation"),
        # Neither a test image nor some of the rules decide.
        cell(at_40[1], 0.4, 1.0),
        cell(at_40[1], 0.5, 0.5, split="validation"),
    ]
    assert speed_jobs.best_rules(cells) == {0.4: at_40[0], 0.9: at_90[-1]}


def cell(pruner, ratio, accuracy, *, split="test", design="standard", n_epochs=12.0, seconds=1.0):
    setting = (split, pruner, ratio, design, n_epochs, 0)
    rest = {"n_kept": 1, "n_steps": 1, "seconds": seconds, "hardware": ""}
    return SpeedCell(*setting, accuracy=accuracy, **rest)


def test_the_report_counts_passes_over_all_images_until_an_accuracy_is_reached():
    cells = [cell(FULL, 0.0, accuracy, n_epochs=n) for n, accuracy in ((6, 0.8), (9, 0.89))]
    cells += [cell(FULL, 0.0, 0.9)]
    cells += [
        cell(OURS, 0.4, accuracy, n_epochs=n) for n, accuracy in ((5, 0.7), (10, 0.888), (20, 0.9))
    ]
    page = report(cells)
    assert "| all images | 0% | 9.0 | 80.00 |" in page
    assert "| influence | 40% | 6.0 | 88.80 | 3.0: 70.00, 6.0: 88.80, 12.0: 90.00 |" in page


def test_the_report_ranks_architectures_and_counts_what_the_winner_loses():
    names = ("32-3-3-max", "32-2-5-mean", "16-1-3-max")
    cells = [
        cell(FULL, 0.0, accuracy, design=name, n_epochs=8.0)
        for name, accuracy in zip(names, (0.9, 0.8, 0.7), strict=True)
    ]
    # Of three pairs one is in the wrong order, and the winner is second with all images.
    cells += [
        cell("random", 0.9, accuracy, design=name, n_epochs=40.0, seconds=2.0)
        for name, accuracy in zip(names, (0.5, 0.6, 0.4), strict=True)
    ]
    # With four finalists of three the best one wins, and all are trained on all images.
    assert "| random | 3 | 0.33 | 10.00 | 6 | 0.00 | 9 |" in report(cells)


def test_the_table_prepares_what_its_networks_need(tmp_path, small, made_up, monkeypatch):
    blocks = (
        Block(rules_at(0.5), 0.5, range(2), ["epochs"], split="validation"),
        Block([OURS], 0.5, range(3, 5), ["epochs"]),
    )
    monkeypatch.setattr(speed_table, "TABLE", blocks)
    cache = tmp_path / "cache"
    speed_table.main(["--table", "--cache", str(cache), "--out", str(tmp_path)])
    cells = read_records(tmp_path / "cifar10_speed.csv", SpeedCell)
    assert len(cells) == 2 * len(rules_at(0.5)) + 2
    assert {cell.n_kept for cell in cells} == {40, 50}
    # One seed for validation, and two for the networks of seeds 3 and 4.
    proxies_kept = {path.name for path in cache.glob("proxy-*")}
    assert proxies_kept == {"proxy-validation-0.npz", "proxy-test-0.npz", "proxy-test-1.npz"}
    with pytest.raises(SystemExit):
        speed_table.main(["--table", "--cache", str(cache), "--epochs", "3"])


def test_every_stage_goes_on_where_it_stopped(tmp_path, small, made_up, monkeypatch):
    command = ["--epochs", "12", "--seeds", "1", "--full-seeds", "1", "--pruner", *PRUNERS]
    command += ["--ratio", "0.5", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path)]
    speed_table.main(command)
    cells = read_records(tmp_path / "cifar10_speed.csv", SpeedCell)
    assert {cell.pruner for cell in cells} == {FULL, *PRUNERS}
    assert len(cells) == 1 + 2 * len(PRUNERS)
    # As many steps as on all images are twice the epochs on half of them.
    assert {cell.n_epochs for cell in cells if cell.pruner == "random"} == {12.0, 24.0}
    assert "### As many steps as on all images" in report(cells)
    monkeypatch.setattr(speed, "train", None)
    speed_table.main(command)
    assert read_records(tmp_path / "cifar10_speed.csv", SpeedCell) == cells
