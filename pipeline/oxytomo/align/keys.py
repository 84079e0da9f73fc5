"""Weights of cubic convolution.

Keys, IEEE Trans. Acoust. Speech Signal Process. 29, 1153 (1981).
"""

from numba import njit


@njit(cache=True)
def keys_weights(f, w, d):  # type: ignore[no-untyped-def]
    """Keys' cubic convolution of four samples and its derivative.

    The point lies at a fraction f in [0, 1) past the second sample.
    """
    for j in range(4):
        t = f + 1 - j
        a = abs(t)
        sign = 1.0 if t >= 0 else -1.0
        if a < 1:
            w[j] = 1.5 * a**3 - 2.5 * a**2 + 1
            d[j] = sign * (4.5 * a**2 - 5 * a)
        elif a < 2:
            w[j] = -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2
            d[j] = sign * (-1.5 * a**2 + 5 * a - 4)
        else:
            w[j], d[j] = 0.0, 0.0
