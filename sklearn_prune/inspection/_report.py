"""A report that a colleague understands: what was dropped, and what that costs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from .._types import Array, Rows, Targets
from ..base import BasePruner
from ..data import as_labels, check_target, plain, require_memory
from ..matching import Certificate
from ._kept_shares import KeptShare, kept_shares
from ._moved_columns import EncodedRows, MovedColumn, Represented
from ._report_page import (
    counts,
    fragment,
    moved_columns,
    page,
    represented_by,
    settings_table,
    what_it_costs,
)
from ._rows import check_aligned

_N_EXAMPLES = 8


@dataclass(frozen=True, repr=False, eq=False)
class Report:
    """What a pruner dropped, and what that costs, as a page and as a dict.

    Attributes
    ----------
    pruner : str
        Name of the pruner's class.
    n_samples, n_kept, n_dropped : int
        Rows in all, kept and dropped.
    classes, groups : tuple of KeptShare
        What is kept of each class and group; empty without any.
    columns : tuple of MovedColumn
        How far each column moved, the farthest first.
    certificate : Certificate or None
        The pruner's, if it has one.
    settings : dict
        The pruner's parameters, other objects than numbers and text as text.
    examples : tuple of Represented
        Some dropped rows, evenly spaced, and the kept rows that stand for them.
    """

    pruner: str
    n_samples: int
    n_kept: int
    classes: tuple[KeptShare, ...]
    groups: tuple[KeptShare, ...]
    columns: tuple[MovedColumn, ...]
    certificate: Certificate | None
    settings: dict[str, object]
    examples: tuple[Represented, ...]
    _rows: EncodedRows
    _codes: Array

    @property
    def n_dropped(self) -> int:
        """Rows that are dropped."""
        return self.n_samples - self.n_kept

    @property
    def promise(self) -> str:
        """What to expect, in words."""
        if self.certificate is None:
            return f"{self.pruner} promises nothing: compare scores on rows held out."
        return self.certificate.summary()

    def represented_by(self, row: int) -> Represented:
        """Return the kept row that is nearest to a training row, of the same class if it has one.

        Parameters
        ----------
        row : int
            Position of the row among the training rows, counted from 0.

        Returns
        -------
        represented : Represented
            Position and distance of the kept row.

        Raises
        ------
        ValueError
            If there is no such row.
        """
        if not isinstance(row, Integral) or not 0 <= row < self.n_samples:
            raise ValueError(
                f"row must be a position from 0 to {self.n_samples - 1}; it is {row!r}. Count the "
                "training rows from 0."
            )
        return _represented(self._rows, self._codes, int(row))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it.

        Returns
        -------
        report : dict
            Of str, int, float, bool, None, lists and dicts of these. Of numbers that are not
            finite, which JSON lacks, it has None.
        """
        return {
            "pruner": self.pruner,
            "rows": {"all": self.n_samples, "kept": self.n_kept, "dropped": self.n_dropped},
            "promise": self.promise,
            "classes": [_share_dict(share) for share in self.classes],
            "groups": [_share_dict(share) for share in self.groups],
            "columns": [
                {"name": c.name, "part": c.part, "standardised_difference": c.difference}
                for c in self.columns
            ],
            "represented": [{**asdict(e), "differs_in": list(e.differs_in)} for e in self.examples],
            "certificate": None if self.certificate is None else self.certificate.to_dict(),
            "settings": self.settings,
            "seed": self.settings.get("random_state"),
        }

    def to_html(self) -> str:
        """Return the report as a whole page of HTML that needs no other file."""
        return page(self._title, self._repr_html_())

    def save(self, path: str | Path) -> None:
        """Write the page to a file, in UTF-8.

        Parameters
        ----------
        path : str or Path
            The file; one that is there is replaced.
        """
        Path(path).write_text(self.to_html(), encoding="utf-8")

    def _repr_html_(self) -> str:
        return fragment(
            self._title,
            self.promise,
            what_it_costs(self.certificate),
            counts("By class", "class", self.classes),
            counts("By group", "group", self.groups),
            moved_columns(self.columns),
            represented_by(self.examples),
            settings_table(self.settings),
        )

    @property
    def _title(self) -> str:
        share = self.n_kept / self.n_samples
        return f"{self.pruner} keeps {self.n_kept:,} of {self.n_samples:,} rows ({share:.1%})"

    def __repr__(self) -> str:
        """Return the counts, the promise and the columns that moved most."""
        moved = ", ".join(f"{c.part} {c.difference:+.2g}" for c in self.columns[:3])
        return (
            f"Report: {self.n_kept:,} of {self.n_samples:,} rows kept by {self.pruner}\n"
            f"  {self.promise}\n  moved most, in standard deviations: {moved}"
        )


def report(pruner: BasePruner, X: Rows, y: Targets = None, *, groups: Targets = None) -> Report:
    """Report what a pruner dropped, and what that costs.

    Parameters
    ----------
    pruner : pruner
        Fitted.
    X : data frame or array-like of shape (n_samples, n_features)
        A table aligned with the training rows: the rows that the pruner was fitted on, or the raw
        ones that these encode, with text, dates and missing values.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Their target.
    groups : array-like of shape (n_samples,), default=None
        A group for each row, to count by.

    Returns
    -------
    report : Report
        Shown as a page in a notebook; ``save`` writes it to a file, ``to_dict`` makes it JSON.

    Raises
    ------
    TypeError
        If ``pruner`` is not a pruner, or X is not a table.
    ValueError
        If X, y or groups have not one entry for each training row.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune import InfluencePruner
    >>> from sklearn_prune.inspection import report
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> pruner = InfluencePruner(prune_ratio=0.8, damping=1e-2, random_state=0).fit(X, y)
    >>> result = report(pruner, X, y)
    >>> [(share.label, share.n_kept) for share in result.classes]
    [(0, 10), (1, 10), (2, 10)]
    >>> bool(pruner.support_[result.represented_by(7).kept_row])
    True
    """
    check_aligned(pruner, X, y=y, groups=groups)
    require_memory("report", pruner.support_)
    support = pruner.support_
    has_classes = hasattr(pruner, "classes_")
    labels = _column("y", y) if y is not None and has_classes else None
    numbers = None
    if y is not None and not has_classes:
        numbers = check_target(pruner, y, len(support), "regression").values
    weights = getattr(pruner, "sample_weight_", np.ones(int(support.sum())))
    rows = EncodedRows.of(X, support, weights, numbers)
    codes = np.zeros(len(support)) if labels is None else np.unique(labels, return_inverse=True)[1]
    dropped = np.flatnonzero(~support)
    spaced = np.linspace(0, len(dropped) - 1, min(_N_EXAMPLES, len(dropped))).astype(int)
    return Report(
        pruner=type(pruner).__name__,
        n_samples=len(support),
        n_kept=int(support.sum()),
        classes=() if labels is None else kept_shares(labels, support),
        groups=() if groups is None else kept_shares(_column("groups", groups), support),
        columns=rows.moved_columns(),
        certificate=getattr(pruner, "certificate_", None),
        settings={name: _json(value) for name, value in pruner.get_params(deep=False).items()},
        examples=tuple(_represented(rows, codes, int(row)) for row in dropped[spaced]),
        _rows=rows,
        _codes=codes,
    )


def _column(name: str, labels: Targets) -> Array:
    return column_or_1d(as_labels(name, labels))


def _represented(rows: EncodedRows, codes: Array, row: int) -> Represented:
    if rows.support[row]:
        return Represented(row, row, 0.0)
    alike = codes == codes[row]
    # A pruner of another kind may keep none of a class.
    among = alike if (alike & rows.support).any() else np.ones_like(alike)
    return rows.nearest_kept(row, among)


def _share_dict(share: KeptShare) -> dict[str, object]:
    return {
        "label": _json(share.label),
        "all": share.n_samples,
        "kept": share.n_kept,
        "dropped": share.n_dropped,
    }


def _json(value: object) -> object:
    """Return a value as JSON has it: numbers and text as they are, others as text."""
    value = plain(value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _json(entry) for name, entry in value.items()}
    return " ".join(repr(value).split())
