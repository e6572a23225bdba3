"""The deep benchmark on a few made-up images: every part runs, nothing is measured twice."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import cifar10, networks
from benchmarks._common import read_records

N = 120


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
    images = cifar10.read_images(data_dir)
    X = images_of(np.random.default_rng(0))
    assert images.X_train.shape == (100, 3, 32, 32)
    assert np.abs(images.X_train.astype(int) - X[:100]).mean() < 4
    np.testing.assert_array_equal(images.y_test, np.arange(100, N) % 10)


def test_the_original_batches_come_first(data_dir):
    folder = data_dir / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batch = {b"data": rng.integers(0, 256, (4, 3072), dtype=np.uint8), b"labels": [0, 1, 2, 3]}
        (folder / name).write_bytes(pickle.dumps(batch))
    images = cifar10.read_images(data_dir)
    assert images.X_train.shape == (20, 3, 32, 32)
    assert len(images.y_test) == 4


def test_each_cell_is_measured_once(data_dir, tmp_path, monkeypatch):
    out = tmp_path / "out"
    command = ["--data-dir", str(data_dir), "--out", str(out), "--architecture", "tiny"]
    command += ["--transfer", "--epochs", "1", "--ratio", "0.5"]
    cifar10.main(command)
    cells = read_records(out / "cifar10_images.csv", cifar10.Cell)
    assert [c.pruner for c in cells] == [cifar10.FULL, *cifar10.PRUNERS]
    assert [c.n_kept for c in cells] == [100] + [50] * len(cifar10.PRUNERS)
    assert "## tiny, fast protocol, 1 epochs" in (out / "cifar10_images.md").read_text("utf-8")
    monkeypatch.setattr(cifar10, "train", None)
    cifar10.main(command)
    # As text, in which one nan is like another.
    assert str(read_records(out / "cifar10_images.csv", cifar10.Cell)) == str(cells)


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


def test_crops_and_flips_move_an_image_and_no_more():
    image = np.arange(3 * 32 * 32, dtype=np.float32).reshape(3, 32, 32)
    torch.manual_seed(0)
    X, _ = networks.augmented([(image, 0)] * 200)
    assert X.shape == (200, 3, 32, 32)
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    crops = {
        crop.tobytes()
        for top in range(9)
        for left in range(9)
        for crop in [padded[:, top : top + 32, left : left + 32]]
    }
    crops |= {np.frombuffer(c, np.float32).reshape(3, 32, 32)[:, :, ::-1].tobytes() for c in crops}
    found = {x.numpy().tobytes() for x in X}
    assert found <= crops
    assert len(found) > 80


def test_the_time_is_that_of_the_first_epoch_that_reaches_the_aim():
    watch = networks.TestScore(np.empty(0), np.empty(0))
    watch.accuracies, watch.seconds = [0.5, 0.91, 0.9], [1.0, 2.0, 3.0]
    assert cifar10.seconds_until(watch, 0.9) == 2.0
    assert np.isnan(cifar10.seconds_until(watch, 0.95))
