"""Selections of few free rows, solved to proven optimality.

Start at `smallest_change`, the cardinality form, and `largest_saving`, the generalization form:
HiGHS proposes sets and bounds them, and float64 decides. Where HiGHS takes too long or cannot tell
sets apart, `meet_in_the_middle` compares all of them. `free_rows` holds the problem in numbers.
"""
