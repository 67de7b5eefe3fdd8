import numpy as np

from index.half import decode


def test_every_finite_float16_is_decoded_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 16)
    for scratch in (None, np.full((len(finite) + 3, 16), -1, np.int32)):
        decoded = decode(finite, scratch)
        assert decoded.dtype == np.float32
        assert np.array_equal(decoded.view(np.uint32), finite.astype(np.float32).view(np.uint32))
