"""Selections of many rows: counts of cells first, then exchanges inside cells.

Start at `search` in descent.py. `exchange` swaps one dropped row for one kept row at a time, among
the rows that `pool` draws; `multiple_exchange` swaps several at once where coordinates are few.
"""
