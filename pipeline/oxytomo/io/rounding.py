"""Values in fewer bits, where the digits that are dropped are far below the noise.

The dropped bits are zero, so that a store compresses to about half. The type stays float32.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oxytomo.io.stores import chunk_shape, pieces
from oxytomo.slabs import Field, View, plane

MANTISSA_BITS = 23
LARGEST_SIGMA = 0.1
"""Largest rounding error of a value, in standard deviations of its noise."""
VARIANCE_BITS = 8
"""A variance is rounded by at most 1/512 of itself, a standard deviation by half of that."""
LEAST_BITS = 8
"""A value is rounded by at most 1/512 of itself, also where the stated noise is far too large."""
_BLOCK = 2**17


@dataclass(frozen=True)
class InFewerBits:
    """A measured array and its variance for a store, and what the store says of their rounding.

    Attributes
    ----------
    value, variance : fields of the same shape
    record : by array: kept bits of the mantissa, and the largest rounding error
    """

    value: Field
    variance: Field
    record: Mapping[str, Mapping[str, Any]]


def in_fewer_bits(value: Field, variance: Field) -> InFewerBits:
    """Round values to a tenth of their noise, and variances to 8 bits.

    Parameters
    ----------
    value, variance : float32 fields of the same shape; NaN stays
    """
    bits = bits_for(value, variance, largest_sigma=LARGEST_SIGMA)
    record = {
        "value": {"mantissa_bits": bits, "largest_error_in_sigma": LARGEST_SIGMA},
        "variance": {"mantissa_bits": VARIANCE_BITS, "largest_relative_error": 2.0 ** -(VARIANCE_BITS + 1)},
    }
    return InFewerBits(rounded(value, bits), rounded(variance, VARIANCE_BITS), record)


def with_variances(value: Field, covariance: Field) -> InFewerBits:
    """Round values whose variances are the diagonal of a covariance, one value after the other.

    The covariance is not rounded: its small combinations are differences of large entries.

    Parameters
    ----------
    value : (n, …) float32
    covariance : (n (n + 1) / 2, …) upper triangle, row by row
    """
    n = value.shape[0]
    bits = [
        bits_for(
            plane(value, k),
            plane(covariance, k * n - k * (k - 1) // 2),
            largest_sigma=LARGEST_SIGMA,
        )
        for k in range(n)
    ]
    most = max(bits)
    record = {"areal": {"mantissa_bits": most, "largest_error_in_sigma": LARGEST_SIGMA}}
    return InFewerBits(rounded(value, most), covariance, record)


def bits_for(value: Field, variance: Field, *, largest_sigma: float) -> int:
    """Return the bits of a mantissa that keep the rounding error below a share of the noise.

    A value v with k bits is off by at most ``|v| 2^-(k + 1)``, so that
    ``k ≥ log2(|v| / (2 s σ))`` for the value that is largest beside its σ. Without any noise all
    bits are kept, and never fewer than :data:`LEAST_BITS`: the noise may be overstated.

    Parameters
    ----------
    value, variance : fields of the same shape
    largest_sigma : share s of the standard deviation σ
    """
    largest = 0.0
    for part in pieces(value.shape, chunk_shape(value.shape, 4)):
        flat, noise = (np.asarray(one[part]).reshape(-1) for one in (value, variance))
        for start in range(0, flat.size, _BLOCK):
            v, s = flat[start : start + _BLOCK], noise[start : start + _BLOCK]
            known = np.isfinite(v) & np.isfinite(s) & (v != 0)
            if (s[known] <= 0).any():
                return MANTISSA_BITS
            # In float64: the square of a float32 may overflow.
            ratio = np.square(v[known], dtype=np.float64) / s[known]
            largest = max(largest, float(ratio.max(initial=0.0)))
    if largest == 0.0:
        return LEAST_BITS
    wanted = math.ceil(math.log2(math.sqrt(largest) / (2 * largest_sigma)))
    return min(MANTISSA_BITS, max(LEAST_BITS, wanted))


def rounded(field: Field, bits: int) -> Field:
    """Return a float32 field whose values are rounded to so many bits of their mantissa.

    Halves go to the even neighbour, so that means are not shifted. NaN and infinity stay.
    """
    if bits >= MANTISSA_BITS or field.dtype != np.float32:
        return field
    return View(field.shape, field.dtype, lambda key: _rounded(np.asarray(field[key]), bits))


def _rounded(values: NDArray[Any], bits: int) -> NDArray[Any]:
    drop = np.uint32(MANTISSA_BITS - bits)
    half, mask = np.uint32((1 << (int(drop) - 1)) - 1), np.uint32(0xFFFFFFFF ^ ((1 << int(drop)) - 1))
    out = np.array(values, np.float32, order="C", copy=True)
    flat = out.reshape(-1)
    for start in range(0, flat.size, _BLOCK):  # blocks stay in the cache
        block = flat[start : start + _BLOCK]
        lost = ~np.isfinite(block)
        kept = block[lost]
        words = block.view(np.uint32)
        odd = words >> drop
        odd &= np.uint32(1)
        odd += half
        words += odd
        words &= mask
        block[lost] = kept
    return out
