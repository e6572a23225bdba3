"""Selections of few free rows, solved to proven optimality.

Start at `smallest_change`, the cardinality form, and `largest_saving`, the generalization form.
HiGHS proposes sets and bounds; each set is checked in float64. If HiGHS takes too long or cannot
resolve the differences, `meet_in_the_middle` compares all sets. `free_rows` holds the problem in
numbers.
"""
