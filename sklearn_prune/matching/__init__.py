"""What the kept rows are to match, and which rows match it.

This is the only room that knows both networks and selection. A `TrainingJob` is trained once. Its
influences, and features of the distribution, become coordinates of the rows. Rows are dropped whose
coordinates sum to about zero, and the certificate says what that costs.
"""

from .allocation import (
    FEWEST_ROWS,
    LEAST_KEPT,
    LEAST_RELATIVE_ODDS,
    DistanceScale,
    Priorities,
    PriorityScale,
    softened,
)
from .certificate import Certificate, certify
from .choice import (
    Choice,
    beyond_tolerance,
    check_counts,
    check_priority,
    choose_rows,
    require_exact,
    warn_of_nothing,
    weight_of_distribution,
)
from .clock import StageClock
from .cost import CostEstimate, n_trial_rows, scaled_cost
from .distribution import (
    DistributionEmbedding,
    NonlinearHead,
    embed_distribution,
    embed_labels,
    target_labels,
)
from .feature_maps import Table
from .given_networks import Network, checkpoints, members, unfrozen
from .job import Reference, TrainingJob
from .matched import Matched
from .memory import recalled, usable_memory
from .network_checks import (
    check_damping,
    check_ensemble,
    check_networks,
    check_reference,
    kind_of_target,
)
from .reference import ReferenceHead, aimed_means, class_quota, fit_reference_head
from .refinement import CLOSE, DAMPING_FACTORS, ENOUGH, LEAST_PROGRESS, NEGLIGIBLE
from .teacher import LabelTeacher, NumberTeacher
from .trained_members import default_network
from .training import Trained, train_once
from .units import changes_of_single_rows, in_unit_of
from .weights import HELD_FACTORS, ScaledPart, kept_weights, weights_of_parts

__all__ = [
    "CLOSE",
    "Certificate",
    "Choice",
    "CostEstimate",
    "DAMPING_FACTORS",
    "DistanceScale",
    "DistributionEmbedding",
    "ENOUGH",
    "FEWEST_ROWS",
    "HELD_FACTORS",
    "LEAST_KEPT",
    "LEAST_PROGRESS",
    "LEAST_RELATIVE_ODDS",
    "LabelTeacher",
    "Matched",
    "NEGLIGIBLE",
    "Network",
    "NonlinearHead",
    "NumberTeacher",
    "Priorities",
    "PriorityScale",
    "Reference",
    "ReferenceHead",
    "ScaledPart",
    "StageClock",
    "Table",
    "Trained",
    "TrainingJob",
    "aimed_means",
    "beyond_tolerance",
    "certify",
    "changes_of_single_rows",
    "check_counts",
    "check_damping",
    "check_ensemble",
    "check_networks",
    "check_priority",
    "check_reference",
    "checkpoints",
    "choose_rows",
    "class_quota",
    "default_network",
    "embed_distribution",
    "embed_labels",
    "fit_reference_head",
    "in_unit_of",
    "kept_weights",
    "kind_of_target",
    "members",
    "n_trial_rows",
    "recalled",
    "require_exact",
    "scaled_cost",
    "softened",
    "target_labels",
    "train_once",
    "unfrozen",
    "usable_memory",
    "warn_of_nothing",
    "weight_of_distribution",
    "weights_of_parts",
]
