"""Check the tilts of one series, and of several series of one branch."""

from collections.abc import Mapping

import numpy as np

from oxytomo.arrays import AnyArray, Float64Array
from oxytomo.check.series import ANGLE_TOLERANCE_DEG, SeriesFacts
from oxytomo.errors import InputError

MIN_TILTS, FEW_TILTS = 3, 20
SAME_ANGLE_DEG = 1e-4
ONE_TILT_DEG = 1.0
NARROW_DEG = 10.0
MANY_REPEATED = 0.2
"""If a larger fraction of the angles is repeated, the angle table is wrong."""


def check_tilts(facts: Mapping[str, SeriesFacts]) -> None:
    """Refuse series with too few tilts, repeated tilts, or other tilts than the first series."""
    first = next(iter(facts.values()))
    reference = _distinct(np.sort(np.asarray(first.tilt_deg, np.float64)))
    for fact in facts.values():
        tilts = np.sort(np.asarray(fact.tilt_deg, np.float64))
        lost = np.flatnonzero(~np.isfinite(np.asarray(fact.tilt_deg, np.float64)))
        if lost.size:
            some = f"{lost.size} of {tilts.size} that are no number, first that of frame {lost[0]}"
            raise InputError(
                fact.place,
                expected="a tilt angle for every frame",
                got="none in the file" if lost.size == tilts.size else some,
                fix="give 'angles:'",
            )
        if tilts.size < MIN_TILTS:
            raise InputError(
                fact.place,
                expected=f"at least {MIN_TILTS} tilt angles for a volume",
                got=str(tilts.size),
                fix="give the whole tilt series, or use areal_density for a single projection",
            )
        again = np.diff(tilts) < SAME_ANGLE_DEG
        if again.mean() > MANY_REPEATED:
            raise InputError(
                fact.place,
                expected="nearly every tilt angle once",
                got=f"{int(again.sum())} of {tilts.size} angles repeated, {_some(tilts[1:][again])} among them",
                fix="correct the angle table: the sign of the angles may be lost",
            )
        tilts = _distinct(tilts)
        if tilts.size != reference.size or np.abs(tilts - reference).max() > ANGLE_TOLERANCE_DEG:
            raise InputError(
                fact.place,
                expected=f"the tilt angles of {first.place} ({_tilt_range(reference)})",
                got=_tilt_range(tilts),
                fix="give series of the same tilts, or cut them to the common ones",
            )


def _distinct(tilts: Float64Array) -> Float64Array:
    """Return the distinct angles, sorted."""
    return tilts[np.append(True, ~(np.diff(tilts) < SAME_ANGLE_DEG))]


def _some(tilts: AnyArray) -> str:
    """Return the first distinct angles as text."""
    distinct = list(dict.fromkeys(f"{tilt:g}°" for tilt in tilts.tolist()))
    return ", ".join(distinct[:5]) + (" …" if len(distinct) > 5 else "")


def repeated_tilts(facts: Mapping[str, SeriesFacts], place: str) -> list[str]:
    """Return a remark about repeated exposures."""
    repeated: list[float] = []
    for fact in facts.values():
        tilts = np.sort(fact.tilt_deg)
        repeated += tilts[1:][np.diff(tilts) < SAME_ANGLE_DEG].tolist()
    if not repeated:
        return []
    return [
        f"{place}: {_some(np.array(repeated))} recorded more than once: the first exposure is used, the others are compared "
        "with it (radiation damage)"
    ]


def _tilt_range(tilts: AnyArray) -> str:
    """Return number and range of sorted tilts."""
    return f"{tilts.size} from {tilts[0]:g}° to {tilts[-1]:g}°"


def few_tilts(facts: Mapping[str, SeriesFacts], place: str) -> list[str]:
    """Return a warning if the tilts allow only a poor volume."""
    n_tilts = min(len(fact.tilt_deg) for fact in facts.values())
    if MIN_TILTS <= n_tilts < FEW_TILTS:
        return [f"{place}: only {n_tilts} tilts; expect strong artefacts in the volume"]
    return []


def one_tilt(fact: SeriesFacts) -> None:
    """Refuse to average frames of different or unknown tilts into one projection."""
    tilts = np.asarray(fact.tilt_deg, np.float64)
    if not np.isfinite(tilts).all():
        raise InputError(
            fact.place,
            expected="a tilt angle for every frame, where there are several",
            got="none in the file",
            fix="give 'angles: {start: 0, step: 0}' where all frames show one view",
        )
    if np.ptp(tilts) > ONE_TILT_DEG:
        raise InputError(
            fact.place,
            expected="frames of one tilt, which are averaged",
            got=f"{tilts.size} from {tilts.min():g}° to {tilts.max():g}°",
            fix="give the frames of one view, or use the branch composition for a tilt series",
        )


def narrow_tilts(facts: Mapping[str, SeriesFacts], place: str) -> list[str]:
    """Return a warning if all tilts are within a few degrees: they may be in radians."""
    tilts = np.concatenate([np.asarray(fact.tilt_deg) for fact in facts.values()])
    if not np.isfinite(tilts).all() or np.ptp(tilts) >= NARROW_DEG:
        return []
    return [
        f"{place}: the tilts span only {np.ptp(tilts):.3g}°; if they are radians, give them with their unit (column theta_rad)"
    ]
