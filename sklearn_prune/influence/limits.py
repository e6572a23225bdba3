"""The sizes beyond which influences are computed in another way.

Read them as ``limits.NAME``, since tests change them.

A dense Hessian of p parameters takes 8 p² bytes and p³ / 3 operations to factor.
"""

# Up to this many parameters the Hessian is dense: 0.3 GB, factored within seconds, and stored with
# the influences.
DENSE_PARAMS = 6_000

# A single Newton step may use a larger one (0.8 GB) if conjugate gradients make no progress.
DENSE_STEP_PARAMS = 10_000

# Up to this many parameters all coordinates of a head are matched. Beyond, a pass over all of them
# costs more than leaving out all but the leading ones.
ALL_MATCHED_PARAMS = 20_000

# Most leading coordinates to store, and most float32 numbers for all rows together: 1 GB.
LEADING_COORDINATES = 1024
LEADING_NUMBERS = 2**28
