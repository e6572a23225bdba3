"""The sizes beyond which influences are computed another way. Read them from here; tests set them.

A dense Hessian of p parameters takes 8 p² bytes and p³ / 3 operations to factor.
"""

# The Hessian is dense up to here: 0.3 GB, factored within seconds and kept with the influences.
DENSE_PARAMS = 6_000

# A single Newton step may take a larger one (0.8 GB), where conjugate gradients get stuck.
DENSE_STEP_PARAMS = 10_000

# Of a head, all coordinates are matched up to here. Beyond, a pass over them costs more than the
# leading ones lose.
ALL_MATCHED_PARAMS = 20_000

# Leading coordinates to keep at most, and float32 numbers they may take over all rows: 1 GB.
LEADING_COORDINATES = 1024
LEADING_NUMBERS = 2**28
