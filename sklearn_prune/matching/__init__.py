"""What is matched, and by which rows: the only room that knows networks and selection.

A `TrainingJob` is trained once; its influences, with what holds the distribution, become
coordinates; rows are chosen that keep their sums; the certificate says what that costs.
"""

from .certificate import Certificate, Choice, StageClock, certify
from .choice import check_counts, choose_rows
from .distribution import DistributionEmbedding, embed_distribution, target_labels
from .feature_maps import Table
from .job import Reference, TrainingJob, members, unfrozen
from .network_checks import check_ensemble, check_networks, check_reference, kind_of_target
from .refinement import ENOUGH
from .trained_members import default_network
from .training import train_once
from .weights import kept_weights

__all__ = [
    "Certificate",
    "Choice",
    "DistributionEmbedding",
    "ENOUGH",
    "Reference",
    "StageClock",
    "Table",
    "TrainingJob",
    "certify",
    "check_counts",
    "check_ensemble",
    "check_networks",
    "check_reference",
    "choose_rows",
    "default_network",
    "embed_distribution",
    "kept_weights",
    "kind_of_target",
    "members",
    "target_labels",
    "train_once",
    "unfrozen",
]
