"""The results of a retraining check: forecast and observed changes, and their bounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """A change of the last layer, forecast and observed.

    Attributes
    ----------
    first_order : float
        Forecast with the Hessian of all rows: ``Δθ = N/(N − Σ ν_i w_i) · Σ w_i s_i``.
    kept_hessian : float
        Forecast by one Newton step with the Hessian of the kept rows.
    observed : float
        After retraining on the kept rows.
    """

    first_order: float
    kept_hessian: float
    observed: float


@dataclass(frozen=True)
class LossGap(Change):
    """A rise of the mean loss on some rows, forecast, observed and bounded.

    In units of the loss (nats for cross-entropy), without the damping term. A fall is negative.

    Attributes
    ----------
    first_order, kept_hessian : float
        Loss at the forecast parameters, minus the loss at ``θ̂``.
    observed : float
        Loss at the retrained parameters, minus the loss at ``θ̂``.
    stated_bound : float
        Bound on ``|observed|`` that assumes that the parameters move as far as the first order
        forecasts. It can fail, as can the bound of Yang et al., which makes the same assumption.
    proven_bound : float
        Bound on ``|observed|`` that always holds: the same bound at ``parameter_bound``.
    """

    stated_bound: float
    proven_bound: float

    @property
    def is_within_stated_bound(self) -> bool:
        """Whether ``|observed|`` is at most ``stated_bound``."""
        return bool(abs(self.observed) <= self.stated_bound)

    @property
    def is_within_proven_bound(self) -> bool:
        """Whether ``|observed|`` is at most ``proven_bound``."""
        return bool(abs(self.observed) <= self.proven_bound)


@dataclass(frozen=True, repr=False)
class RetrainingCheck:
    """The effect on the last layer of dropping a set of rows, forecast and observed.

    Attributes
    ----------
    n_samples, n_dropped : int
        Number of training rows, and of those dropped.
    loss_change : Change
        ``½ Δθᵀ H Δθ`` with the Hessian of all rows: a rise of the training objective.
    parameter_change : Change
        ``‖Δθ‖₂``.
    parameter_bound : float
        Bound on the observed ``‖Δθ‖₂``.
    train_gap : LossGap
        Rise of the mean loss on all training rows, dropped ones included.
    test_gap : LossGap or None
        Rise of the mean loss on the test rows; None without test rows.
    refit_gradient_norm : float
        Gradient norm on the kept rows after retraining.
    """

    n_samples: int
    n_dropped: int
    loss_change: Change
    parameter_change: Change
    parameter_bound: float
    train_gap: LossGap
    test_gap: LossGap | None
    refit_gradient_norm: float

    def __repr__(self) -> str:
        """Return a table with a line for each quantity."""
        share = self.n_dropped / self.n_samples
        rows = f"{self.n_dropped} of {self.n_samples} rows dropped ({share:.1%})"
        columns = ("first order", "kept Hessian", "observed", "stated bound", "proven bound")
        lines = [f"RetrainingCheck: {rows}", _line("", *columns)]
        for name in ("loss_change", "parameter_change", "train_gap", "test_gap"):
            change = getattr(self, name)
            if change is None:
                continue
            cells = [change.first_order, change.kept_hessian, change.observed]
            if isinstance(change, LossGap):
                cells += [change.stated_bound, change.proven_bound]
            elif name == "parameter_change":
                cells += ["", self.parameter_bound]
            texts = (cell if isinstance(cell, str) else f"{cell:.4g}" for cell in cells)
            lines.append(_line(name.replace("_", " "), *texts))
        return "\n".join(lines)


def _line(name: str, *cells: str) -> str:
    return (f"  {name:<16}" + "".join(f"{cell:>14}" for cell in cells)).rstrip()
