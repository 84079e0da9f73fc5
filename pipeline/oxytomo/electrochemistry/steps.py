"""Steps of a cycler file: pulses of constant current, each between two rests."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from oxytomo.arrays import Float64Array, IntArray
from oxytomo.errors import InputError

REST_SHARE = 0.005
"""A current below this share of the largest one is a rest."""
STEADY = 0.05
"""The current of a pulse may vary by this share from its 5th to its 95th percentile."""
LEAST_RECORDS = 8
"""A pulse and each rest need this many records; fewer cannot show a curve. So many records have the
largest current: fewer are spikes."""
SWITCHING = 2
"""Runs of so few records are the switching of the current, not a step."""


@dataclass(frozen=True)
class Titration:
    """A pulse with the rests before and after it, as ranges of records.

    Attributes
    ----------
    before, pulse, after : first record and the one after the last
    """

    before: tuple[int, int]
    pulse: tuple[int, int]
    after: tuple[int, int]


@dataclass(frozen=True)
class FoundSteps:
    """Titrations of a file, and why other steps with current were left out.

    Attributes
    ----------
    titrations : in order of time
    left_out : reason -> number of steps
    """

    titrations: list[Titration]
    left_out: dict[str, int]


def find_titrations(time_s: Float64Array, current_a: Float64Array) -> FoundSteps:
    """Find pulses of constant current between two rests.

    Parameters
    ----------
    time_s : (n,) time since the start of the file, not falling, s
    current_a : (n,) current, A

    Raises
    ------
    InputError
        If time falls, no current flows, or no pulse is between two rests.
    """
    falls = np.diff(time_s) < 0
    if falls.any():
        raise InputError(
            "time",
            expected="the time since the start of the test, which never falls",
            got=f"{time_s[int(falls.argmax()) + 1]:g} s after {time_s[int(falls.argmax())]:g} s",
            fix="export the total time, not the time of each step",
        )
    sizes = np.sort(np.abs(current_a))
    largest = float(sizes[-LEAST_RECORDS]) if sizes.size >= LEAST_RECORDS else 0.0
    if largest == 0:
        raise InputError(
            "current",
            expected="pulses of current with rests between them",
            got=f"{int((sizes > 0).sum())} records with a current",
            fix="check the column of the current",
        )
    state = np.where(np.abs(current_a) < REST_SHARE * largest, 0, np.sign(current_a)).astype(int)
    runs = _runs(state)
    found, left_out = [], Counter[str]()
    for place, (first, last) in enumerate(runs):
        if state[first] == 0:
            continue
        neighbours = [runs[i] for i in (place - 1, place + 1) if 0 <= i < len(runs)]
        resting = len(neighbours) == 2 and all(state[start] == 0 for start, _ in neighbours)
        lengths = [time_s[end - 1] - time_s[start] for start, end in (*neighbours, (first, last))]
        low, middle, high = np.percentile(np.abs(current_a[first:last]), [5, 50, 95])
        if not resting:
            left_out["without a rest before and after it"] += 1
        elif high - low > STEADY * middle:
            left_out["the current is not constant"] += 1
        elif min(lengths) <= 0:
            left_out["a pulse or a rest without a length"] += 1
        elif min(end - start for start, end in (*neighbours, (first, last))) < LEAST_RECORDS:
            left_out[f"fewer than {LEAST_RECORDS} records in the pulse or in a rest"] += 1
        else:
            found.append(Titration(neighbours[0], (first, last), neighbours[1]))
    if not found:
        counts = "; ".join(f"{number} {reason}" for reason, number in left_out.items())
        raise InputError(
            "steps",
            expected="pulses of constant current, each with a rest before and after it",
            got=f"{sum(left_out.values())} steps with current ({counts})",
            fix="give the file of a GITT measurement, with the records of its rests",
        )
    return FoundSteps(found, dict(left_out))


def _runs(state: IntArray) -> list[tuple[int, int]]:
    """Return the ranges of equal state; those of the switching join their neighbours."""
    edges = np.flatnonzero(np.diff(state)) + 1
    limits = [0, *edges.tolist(), state.size]
    kept: list[tuple[int, int]] = []
    for first, last in pairwise(limits):
        if last - first <= SWITCHING:
            continue
        if kept and state[kept[-1][0]] == state[first]:
            kept[-1] = (kept[-1][0], last)
        else:
            kept.append((first, last))
    return kept
