"""Images are read from either file."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from benchmarks.cifar10_images import read_images

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
    return tmp_path


def test_images_are_those_that_were_packed(data_dir):
    loaded = read_images(data_dir)
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
    loaded = read_images(data_dir)
    assert loaded.X_train.shape == (20, 3, 32, 32)
    assert len(loaded.y_test) == 4
