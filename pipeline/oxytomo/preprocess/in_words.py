"""Reasons for pixels without a value, in words."""

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "hot_or_dead": "hot or dead",
    "zinger": "hit by a single flash",
    "saturated": "saturated",
    "opaque": "too dark",
    "not_finite": "without a number",
    "wrapped": "with an ambiguous phase",
}


def left_out(invalid: Mapping[str, int], n_pixels: int) -> str:
    """Return how many pixels could not be used, and why, as a clause.

    Parameters
    ----------
    invalid : number of pixels by reason
    n_pixels : number of all pixels of all frames
    """
    found = [f"{count} {REASONS.get(reason, reason)}" for reason, count in invalid.items() if count]
    if not found:
        return "all pixels could be used"
    share = 100 * sum(invalid.values()) / max(1, n_pixels)
    return f"{share:.2g} % of pixels could not be used ({', '.join(found)})"
