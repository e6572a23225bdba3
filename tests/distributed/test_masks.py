import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sklearn_prune.distributed.masks import packed, unpacked


@given(st.lists(st.booleans(), max_size=30))
def test_a_mask_is_the_same_after_packing_in_an_eighth_of_the_bytes(rows):
    mask = np.array(rows, dtype=bool)
    (bits,) = packed([mask])
    again = unpacked(bits, len(mask))
    np.testing.assert_array_equal(again, mask)
    assert again.dtype == bool
    assert bits.nbytes == -(-len(mask) // 8)
