r"""What reference rows say about the targets of training rows.

A forest learns the training rows, wrong labels included, and predicts each row by trees that were
not grown on it. (So it does reference rows that are training rows as well.) A second model, the
corrector, then learns on the reference rows to turn the forest's predictions, and those of the head
that was fitted there, into the right targets: it corrects labels that are systematically swapped,
and calibrates a forest that learned wrong labels. So both the many training rows and the few
trusted ones are used (Hendrycks et al., "Using Trusted Data to Train Deep Networks on Labels
Corrupted by Severe Noise", NeurIPS 2018).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from .._types import Floats, Integers, Mask

# In a leaf of five rows, one wrong label is outvoted. The seed is constant, so that the answers
# depend on the data alone.
_FOREST = {
    "n_estimators": 100,
    "min_samples_leaf": 5,
    "oob_score": True,
    "n_jobs": 1,
    "random_state": 0,
}
# Most rows that the forest learns.
_MAX_ROWS = 50_000
# Smaller class probabilities are raised to this.
_LEAST_SHARE = 1e-4
_PENALTIES = (1e-2, 1e-1, 1.0, 10.0)
# Decimal places to which equal rows agree.
_N_DIGITS = 4
# A label is suspect if, among rows like it, it should be less than half as frequent as it is.
_SUSPECT = 0.5


@dataclass(frozen=True)
class Taught:
    """What the training rows' targets should be.

    Attributes
    ----------
    targets : ndarray of shape (n_samples, n_targets)
        The predicted share of each class among reference rows like this one, or the predicted
        numbers.
    losses : ndarray of shape (n_samples,)
        ``-log`` of the share of the row's own class, or half the squared distance of its numbers,
        in units of their variance.
    suspect : ndarray of bool of shape (n_samples,)
        Whether the label is more likely wrong than right; numbers are never suspect.
    """

    targets: Floats
    losses: Floats
    suspect: Mask


def teach_labels(
    rows: Floats,
    y: Integers,
    outputs: Floats,
    reference_rows: Floats,
    reference_y: Integers,
    reference_outputs: Floats,
) -> Taught:
    """Return what the labels of training rows should be.

    Parameters
    ----------
    rows, reference_rows : ndarray of shape (n_samples, n_columns)
        Training rows and reference rows.
    y, reference_y : ndarray of shape (n_samples,)
        Class codes; each class is among the reference's.
    outputs, reference_outputs : ndarray of shape (n_samples, n_outputs)
        Outputs of heads that were fitted on reference rows; for reference rows, of heads that were
        fitted without the row.
    """
    teacher = LabelTeacher.fit(rows, y, reference_rows, reference_y, reference_outputs)
    return teacher(teacher.seen, y, outputs)


@dataclass(frozen=True, eq=False)
class LabelTeacher:
    """A forest of training rows, and the corrector of its predictions.

    Attributes
    ----------
    forest : RandomForestClassifier
        Grown on training rows.
    corrector : classifier
        Fitted on reference rows.
    seen : ndarray of shape (n_samples, n_forest_classes)
        What the forest predicts for the training rows that `fit` got.
    """

    forest: RandomForestClassifier
    corrector: GridSearchCV | LogisticRegression
    seen: Floats

    @classmethod
    def fit(
        cls,
        rows: Floats,
        y: Integers,
        reference_rows: Floats,
        reference_y: Integers,
        reference_outputs: Floats,
    ) -> LabelTeacher:
        """Grow the forest, and fit the corrector; see `teach_labels`."""
        forest, some = RandomForestClassifier(**_FOREST), _some_rows(len(y))
        with warnings.catch_warnings():
            # The forest warns of many classes with few rows each.
            warnings.simplefilter("ignore", UserWarning)
            forest.fit(rows[some], y[some])
        seen = forest.predict_proba(rows)
        seen[some] = forest.oob_decision_function_
        of_reference = forest.predict_proba(reference_rows)
        of_reference = _not_learned(of_reference, reference_rows, seen, rows)
        corrector = _corrector(reference_y)
        log_shares = _log_shares(of_reference, forest.classes_, int(reference_y.max()) + 1)
        with warnings.catch_warnings():
            # An optimisation error below the noise of the reference rows does no harm.
            warnings.simplefilter("ignore", ConvergenceWarning)
            corrector.fit(np.hstack([log_shares, reference_outputs]), reference_y)
        return cls(forest, corrector, seen)

    def predict(self, rows: Floats) -> Floats:
        """Return what the forest predicts for rows that it was not grown on."""
        shares: Floats = self.forest.predict_proba(rows)
        return shares

    def __call__(self, seen: Floats, y: Integers, outputs: Floats) -> Taught:
        """Return what the labels y should be, where the forest predicts ``seen``."""
        own, n_classes = (np.arange(len(y)), y), len(self.corrector.classes_)
        log_shares = _log_shares(seen, self.forest.classes_, n_classes)
        targets = self.corrector.predict_proba(np.hstack([log_shares, outputs]))
        shares = np.maximum(targets[own], _LEAST_SHARE)
        return Taught(targets, -np.log(shares), shares < _SUSPECT * np.exp(log_shares[own]))


def teach_numbers(
    rows: Floats,
    y: Floats,
    outputs: Floats,
    reference_rows: Floats,
    reference_y: Floats,
    reference_outputs: Floats,
) -> Taught:
    """Return what the numbers of training rows should be; parameters as in `teach_labels`."""
    teacher = NumberTeacher.fit(rows, y, reference_rows, reference_y, reference_outputs)
    return teacher(teacher.seen, y, outputs)


@dataclass(frozen=True, eq=False)
class NumberTeacher:
    """What `LabelTeacher` is, for numbers.

    Attributes
    ----------
    forest : RandomForestRegressor
        Grown on training rows.
    corrector : RidgeCV
        Fitted on reference rows.
    seen : ndarray of shape (n_samples, n_targets)
        What the forest predicts for the training rows that `fit` got.
    variance : ndarray of shape (n_targets,)
        Of the reference rows' numbers.
    """

    forest: RandomForestRegressor
    corrector: RidgeCV
    seen: Floats
    variance: Floats

    @classmethod
    def fit(
        cls,
        rows: Floats,
        y: Floats,
        reference_rows: Floats,
        reference_y: Floats,
        reference_outputs: Floats,
    ) -> NumberTeacher:
        """Grow the forest, and fit the corrector; see `teach_numbers`."""
        columns, reference = (np.reshape(values, (len(values), -1)) for values in (y, reference_y))
        forest, some = RandomForestRegressor(**_FOREST, max_features=1 / 3), _some_rows(len(y))
        forest.fit(rows[some], columns[some].squeeze())
        seen = forest.predict(rows).reshape(columns.shape)
        seen[some] = forest.oob_prediction_.reshape(len(some), -1)
        predicted = forest.predict(reference_rows).reshape(reference.shape)
        predicted = _not_learned(predicted, reference_rows, seen, rows)
        corrector = RidgeCV(alphas=(1e-3, 1e-1, 10.0))
        corrector.fit(np.hstack([predicted, reference_outputs]), reference)
        return cls(forest, corrector, seen, reference.var(axis=0))

    def predict(self, rows: Floats) -> Floats:
        """Return what the forest predicts for rows that it was not grown on."""
        numbers: Floats = self.forest.predict(rows).reshape(len(rows), -1)
        return numbers

    def __call__(self, seen: Floats, y: Floats, outputs: Floats) -> Taught:
        """Return what the numbers y should be, where the forest predicts ``seen``."""
        columns = np.reshape(y, seen.shape)
        targets = self.corrector.predict(np.hstack([seen, outputs])).reshape(seen.shape)
        scaled = (columns - targets) ** 2 / np.where(self.variance > 0, self.variance, 1.0)
        return Taught(targets, 0.5 * scaled.sum(axis=1), np.zeros(len(y), dtype=bool))


def _some_rows(n_samples: int) -> Integers:
    rng = np.random.default_rng(0)
    return np.sort(rng.permutation(n_samples)[:_MAX_ROWS])


def _not_learned(
    of_reference: Floats, reference_rows: Floats, seen: Floats, rows: Floats
) -> Floats:
    """Return predictions for reference rows; for those that equal a training row, that row's.

    A forest predicts rows that it has learned too well, and the corrector would trust it too much.
    """
    keys = [row.tobytes() for row in _rounded(reference_rows)]
    wanted, places = set(keys), dict[bytes, int]()
    for place, row in enumerate(_rounded(rows)):
        if (key := row.tobytes()) in wanted:
            places[key] = place
    replaced = of_reference.copy()
    for position, key in enumerate(keys):
        if key in places:
            replaced[position] = seen[places[key]]
    return replaced


def _rounded(rows: Floats) -> Floats:
    # A network's outputs for a row depend on the batch, in the last digits. The sum has no -0.
    return np.ascontiguousarray(np.round(rows, _N_DIGITS) + 0.0)


def _log_shares(shares: Floats, classes: Integers, n_classes: int) -> Floats:
    """Return the logs with a column for every class, since the training rows may lack some."""
    columns = np.zeros((len(shares), n_classes))
    columns[:, classes] = shares
    return np.log(np.maximum(columns, _LEAST_SHARE))


def _corrector(y: Integers) -> GridSearchCV | LogisticRegression:
    """Return a logistic regression; its penalty is cross-validated if each class has two rows."""
    model = LogisticRegression(max_iter=500)
    n_folds = min(5, int(np.bincount(y).min()))
    if n_folds < 2:
        return model
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    return GridSearchCV(model, {"C": _PENALTIES}, cv=folds, scoring="neg_log_loss")
