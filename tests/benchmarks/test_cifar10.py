"""The deep benchmark on a few made-up images: every part runs, nothing is measured twice."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.frozen import FrozenEstimator

from benchmarks import cifar10
from benchmarks import cifar10_choices as choices
from benchmarks import cifar10_images as images
from benchmarks import cifar10_networks as networks
from benchmarks import cifar10_pruners as image_pruners
from benchmarks._common import BENCHMARKS_README, RESULTS
from benchmarks.cells import read_records
from sklearn_prune.baselines import CoveragePruner, D2Pruner, DUALPruner

N = 120
NEED_NO_NETWORK = (
    "random",
    "influence, embedding",
    "geometric median, embedding",
    "zero-shot coverage, embedding",
)


def images_of(rng):
    """Blocks of one colour, which a JPEG keeps."""
    return np.repeat(rng.integers(0, 256, (N, 3, 1)), 1024, axis=2).reshape(N, 3, 32, 32)


@pytest.fixture
def data_dir(tmp_path):
    rng = np.random.default_rng(0)
    X = images_of(rng).astype(np.uint8)
    packed, offset = b"", [0]
    for image in X:
        buffer = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=95)
        packed += buffer.getvalue()
        offset.append(len(packed))
    is_test = np.arange(N) >= 100
    label = np.arange(N) % 10
    np.savez(
        tmp_path / "cifar10_jpeg.npz",
        jpeg=np.frombuffer(packed, np.uint8),
        offset=offset,
        label=label,
        is_test=is_test,
    )
    np.savez(
        tmp_path / "cifar10_embedding.npz",
        X=rng.normal(size=(N, 4)).astype(np.float16),
        y=label,
        is_test=is_test,
    )
    return tmp_path


def test_images_are_those_that_were_packed(data_dir):
    loaded = images.read_images(data_dir)
    X = images_of(np.random.default_rng(0))
    assert loaded.X_train.shape == (100, 3, 32, 32)
    assert np.abs(loaded.X_train.astype(int) - X[:100]).mean() < 4
    np.testing.assert_array_equal(loaded.y_test, np.arange(100, N) % 10)


def test_the_original_batches_come_first(data_dir):
    folder = data_dir / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batch = {b"data": rng.integers(0, 256, (4, 3072), dtype=np.uint8), b"labels": [0, 1, 2, 3]}
        (folder / name).write_bytes(pickle.dumps(batch))
    loaded = images.read_images(data_dir)
    assert loaded.X_train.shape == (20, 3, 32, 32)
    assert len(loaded.y_test) == 4


def test_each_cell_is_measured_once(data_dir, tmp_path, monkeypatch):
    out = tmp_path / "out"
    command = ["--data-dir", str(data_dir), "--out", str(out), "--architecture", "tiny"]
    command += ["--transfer", "--epochs", "2", "--ratio", "0.5", "--cache", str(tmp_path)]
    cifar10.main(command)
    cells = read_records(out / "cifar10_images.csv", cifar10.Cell)
    # The first pruner that looks at a network has it trained.
    others = [name for name in image_pruners.PRUNERS if name not in NEED_NO_NETWORK]
    assert [c.pruner for c in cells] == [*NEED_NO_NETWORK, cifar10.FULL, *others]
    assert [c.n_kept for c in cells if c.pruner != cifar10.FULL] == [50] * len(cells[1:])
    assert "## tiny, fast protocol: 2 epochs" in (out / "cifar10_images.md").read_text("utf-8")
    monkeypatch.setattr(networks, "train", None)
    cifar10.main(command)
    assert read_records(out / "cifar10_images.csv", cifar10.Cell) == cells


def test_networks_are_trained_on_what_the_speed_protocol_chose(data_dir, tmp_path, capsys):
    support = np.arange(100) % 2 == 0
    choices.Choice(support, 1.0).save(choices.choice_path(tmp_path, "test", "el2n", 0.5, 0))
    command = ["--data-dir", str(data_dir), "--out", str(tmp_path), "--architecture", "tiny"]
    command += ["--transfer", "--epochs", "1", "--ratio", "0.5", "--full-seeds", "0"]
    command += ["--pruner", "el2n, speed proxy"]
    for wrong in ([], ["--choices", str(tmp_path), "--subset", "50"]):
        with pytest.raises(SystemExit):
            cifar10.main([*command, *wrong])
        assert "need --choices, which are of all images" in capsys.readouterr().err
    cifar10.main([*command, "--choices", str(tmp_path)])
    [trained] = read_records(tmp_path / "cifar10_images.csv", cifar10.Cell)
    assert (trained.pruner, trained.n_kept) == ("el2n, speed proxy", 50)


def test_the_reference_is_read_again(data_dir, tmp_path, monkeypatch):
    loaded = images.read_images(data_dir)
    protocol = replace(networks.PROTOCOLS["cpu"], n_epochs=2)
    lab = image_pruners.Lab(loaded, "tiny", protocol, cache=tmp_path)
    kept = image_pruners.last_layer(lab, 0.5, 0)
    monkeypatch.setattr(networks, "train", None)
    again = image_pruners.Lab(loaded, "tiny", protocol, cache=tmp_path)
    np.testing.assert_array_equal(image_pruners.last_layer(again, 0.5, 0), kept)
    # Chosen again from influences that are there, the rows are the same.
    np.testing.assert_array_equal(image_pruners.last_layer(again, 0.5, 0), kept)


def test_rivals_take_a_watched_training_for_their_own(data_dir):
    """Scores are those of the pruner that trains the same network with the same seed itself."""
    loaded = images.read_images(data_dir)
    protocol = replace(networks.PROTOCOLS["fast"], n_epochs=4)
    watch = networks.Watch(loaded.X_train, loaded.y_train, {2, 4})
    own = CoveragePruner(
        networks.classifier("tiny", protocol, 100, 4), cutoff=0.3, prune_ratio=0.5, random_state=3
    ).fit(loaded.X_train, loaded.y_train)
    dual = DUALPruner(
        networks.classifier("tiny", protocol, 100, 4),
        prune_ratio=0.5,
        n_epochs=4,
        window=2,
        random_state=3,
    ).fit(loaded.X_train, loaded.y_train)
    # As a pruner draws the seed of its network, and the network that of its training.
    seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max)
    torch.manual_seed(np.random.RandomState(seed).randint(np.iinfo(np.int32).max))
    net = networks.classifier("tiny", protocol, 100, 4, callbacks=[("watch", watch)])
    net.fit(loaded.X_train, loaded.y_train)
    assert len(watch.states) == 2
    watched = image_pruners.WatchedCoveragePruner(cutoff=0.3, prune_ratio=0.5, random_state=3)
    watched.margin = watch.margin
    watched.fit(loaded.X_train.reshape(100, -1), loaded.y_train)
    np.testing.assert_allclose(watched.scores_, own.scores_, atol=1e-6)
    watched_dual = image_pruners.WatchedDUALPruner(
        prune_ratio=0.5, n_epochs=4, window=2, random_state=3
    )
    watched_dual.probability = watch.probability
    watched_dual.fit(loaded.X_train.reshape(100, -1), loaded.y_train)
    np.testing.assert_allclose(watched_dual.scores_, dual.scores_, atol=1e-6)
    np.testing.assert_array_equal(watched_dual.get_support(), dual.get_support())
    d2 = D2Pruner(networks.classifier("tiny", protocol, 100, 4), cutoff=0.3, random_state=3)
    watched_d2 = image_pruners.WatchedD2Pruner(FrozenEstimator(net), cutoff=0.3, random_state=3)
    watched_d2.margin = watch.margin
    for pruner in (d2, watched_d2):
        pruner.fit(loaded.X_train, loaded.y_train)
    np.testing.assert_array_equal(watched_d2.scores_, d2.scores_)


def test_kept_images_may_take_more_epochs(data_dir):
    loaded = images.read_images(data_dir)
    protocol = replace(networks.PROTOCOLS["cpu"], n_epochs=1, kept_epochs=5, test_every=2)
    on_all = networks.train(loaded, np.arange(100), "tiny", protocol, 0)
    on_kept = networks.train(loaded, np.arange(50), "tiny", protocol, 0)
    assert len(on_all.accuracies) == 1
    # After 2, 4 and 5 epochs.
    assert len(on_kept.accuracies) == len(on_kept.seconds) == 3


@pytest.mark.parametrize("name", networks.ARCHITECTURES)
def test_every_network_ends_in_ten_outputs(name):
    module = networks.ARCHITECTURES[name]().eval()
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 10)


def test_resnets_have_the_parameters_of_their_paper():
    def millions(module):
        return sum(p.numel() for p in module.parameters()) / 1e6

    assert millions(networks.resnet18()) == pytest.approx(11.17, abs=0.01)
    assert millions(networks.resnet50()) == pytest.approx(23.52, abs=0.01)


def test_only_resnets_cut_off_their_sums_at_zero():
    for name, cuts in (("resnet18", True), ("convmixer", False)):
        net = networks.ARCHITECTURES[name]()
        block = next(part for part in net.modules() if isinstance(part, networks.Residual))
        X = -torch.rand(2, 64 if cuts else 256, 4, 4)
        assert bool((block(X) >= 0).all()) == cuts


def test_crops_and_flips_move_an_image_and_no_more():
    image = np.arange(3 * 32 * 32, dtype=np.float32).reshape(3, 32, 32)
    torch.manual_seed(0)
    batch = networks.DeviceImages(np.repeat(image[None], 200, axis=0)).__getitems__(range(200))
    X, _ = networks.augmented(batch)
    assert X.shape == (200, 3, 32, 32)
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    crops = {
        crop.tobytes()
        for top in range(9)
        for left in range(9)
        for crop in [padded[:, top : top + 32, left : left + 32]]
    }
    crops |= {np.frombuffer(c, np.float32).reshape(3, 32, 32)[:, :, ::-1].tobytes() for c in crops}
    moved = {x.cpu().numpy().tobytes() for x in X}
    assert moved <= crops
    assert len(moved) > 80


def cell(pruner, seed, accuracy, accuracies="0.5"):
    times = " ".join(str(float(i + 1)) for i in range(len(accuracies.split())))
    setting = ("fast", 3, pruner, 0.5, "tiny", seed, 50, 3, accuracy, 3.0)
    return cifar10.Cell(*setting, times, accuracies, "1 thread")


def test_the_time_is_that_of_the_first_test_that_reaches_the_aim():
    one = cell("random", 0, 0.9, "0.5 0.91 0.9")
    assert one.seconds_until(0.9) == 2.0
    assert np.isnan(one.seconds_until(0.95))


def test_gains_are_paired_by_seed():
    cells = [cell("random", seed, accuracy) for seed, accuracy in enumerate((0.5, 0.6, 0.7, 0.9))]
    cells += [cell("dual", seed, accuracy) for seed, accuracy in enumerate((0.52, 0.61, 0.73))]
    over = cifar10.gain_over_random(cells, "dual", 0.5)
    oracle = stats.ttest_rel([0.52, 0.61, 0.73], [0.5, 0.6, 0.7]).confidence_interval()
    assert over.n_seeds == 3
    np.testing.assert_allclose([over.mean - over.half, over.mean + over.half], oracle)
    assert "| dual | 62.00 (+2.00 ± 2.48, 3) |" in cifar10.table(cells)


ALL_MEASURED = read_records(RESULTS / "cifar10_images.csv", cifar10.Cell)
MEASURED = [cell for cell in ALL_MEASURED if cell.architecture == "small"]


def test_the_readme_says_what_was_measured():
    readme = " ".join(BENCHMARKS_README.read_text(encoding="utf-8").split())
    random = [c.accuracy for c in MEASURED if (c.pruner, c.prune_ratio) == ("random", 0.9)]
    both = "influence, embedding and last layer"
    at_90 = [(pruner, 0.9) for pruner in ("influence, embedding", both, "coverage", "dual")]
    for pruner, ratio in [*at_90, ("influence, embedding", 0.95), ("coverage", 0.95)]:
        over = cifar10.gain_over_random(MEASURED, pruner, ratio)
        gained = f"{100 * over.mean:+.2f} ± {100 * over.half:.2f}".replace("-", "−")
        assert f"{gained} ({over.n_seeds} seeds)" in readme, pruner
    assert f"random images gave {100 * np.mean(random):.1f} %" in readme
    full = [c.accuracy for c in MEASURED if c.pruner == cifar10.FULL]
    assert f"one network with all images {100 * np.mean(full):.1f} %" in readme


def test_the_readme_says_what_a_resnet_reached():
    readme = " ".join(BENCHMARKS_README.read_text(encoding="utf-8").split())
    by_pruner = {c.pruner: c for c in ALL_MEASURED if c.architecture == "resnet18"}
    names = (cifar10.FULL, "random", "influence, hardest, speed proxy", "el2n, speed proxy")
    full, random, ours, el2n = (by_pruner[name] for name in names)
    reached = [f"{100 * c.accuracy:.2f}" for c in (full, random, ours, el2n)]
    said = "all images {}, random 60 % of them {}, ours {}, EL2N {}"
    assert said.format(*reached) in readme
    seconds = [c.seconds_until(ours.accuracy) for c in (ours, full)]
    assert "is reached after {:.0f} seconds instead of {:.0f}".format(*seconds) in readme
