"""One digest for equal values: data, parameters, networks and the code that makes them."""

from __future__ import annotations

import inspect
import sys
from functools import cache, lru_cache
from hashlib import sha1
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from joblib.hashing import Hasher, NumpyHasher

__all__ = ["digest"]

# Their code is known by their version.
_PACKAGES = ("numpy", "scipy", "scikit-learn", "skorch", "torch")
_TOP_LEVEL = {"numpy", "scipy", "sklearn", "skorch", "torch"} | sys.stdlib_module_names


def digest(*values: Any) -> str:
    """Return a digest that is the same for equal values, in this process and in any other.

    Networks are told apart by their numbers, by which tensors they share, and by the source of the
    modules that their classes are defined in; what those import in turn is not followed. A change
    of this package's own source, or of the version of one it rests on, changes every digest.

    Parameters
    ----------
    *values : object
        What can be pickled, tensors and networks included.

    Raises
    ------
    Exception
        When something cannot be pickled, such as a function or class defined in a function, or has
        no source, such as a class typed at a prompt.
    """
    versions = [version(package) for package in _PACKAGES]
    return str(_ValueHasher().hash((versions, _own_source(), values)))


class _ValueHasher(NumpyHasher):
    """joblib's hash of a pickle, which knows arrays; this one knows tensors and code as well."""

    def __init__(self) -> None:
        super().__init__(hash_name="sha1", coerce_mmap=True)
        self._tensors: dict[int, tuple[int, torch.Tensor]] = {}
        self._storages: dict[int, int] = {}

    def save(self, obj: Any) -> None:
        if isinstance(obj, torch.Tensor) and obj.layout is torch.strided:
            obj = self._described(obj)
        elif isinstance(obj, type | FunctionType):
            super().save(_source(obj))
        super().save(obj)

    def _described(self, tensor: torch.Tensor) -> tuple[Any, ...]:
        """Return what a tensor is; its own pickle differs between equal ones."""
        # Held until the end, so that no other tensor gets the same id.
        number, _ = self._tensors.setdefault(id(tensor), (len(self._tensors), tensor))
        # A weight that two layers share is trained otherwise than two equal ones.
        storage = tensor.untyped_storage().data_ptr()
        place = (number, self._storages.setdefault(storage, len(self._storages)))
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        kind = (type(tensor), str(tensor.dtype), str(tensor.device), tensor.requires_grad)
        layout = (tuple(tensor.shape), tensor.stride(), tensor.storage_offset())
        return (*kind, *layout, *place, vars(tensor), values)

    def _batch_setitems(self, items: Any, *args: Any) -> None:
        # joblib sorts the keys, but torch.nn.Sequential runs its layers in their order.
        super(Hasher, self)._batch_setitems(items, *args)


@lru_cache(maxsize=1024)
def _source(obj: Any) -> list[str]:
    """Return the source of the modules of a function, or of a class and those it inherits from.

    The whole module, since what stands beside a class is what it is most likely to call.
    """
    sources = []
    for one in getattr(obj, "__mro__", (obj,)):
        if one.__module__ and one.__module__.split(".")[0] in _TOP_LEVEL:
            continue
        try:
            sources.append(inspect.getsource(sys.modules[one.__module__]))
        except (OSError, TypeError, KeyError):
            # A notebook has no file, but knows the source of each class; where there is none, the
            # error says so.
            sources.append(inspect.getsource(one))
    return sources


@cache
def _own_source() -> str:
    """Return a digest of this package's files: what is kept was computed by them."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return sha1(b"".join(path.read_bytes() for path in files)).hexdigest()
