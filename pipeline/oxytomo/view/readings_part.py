"""Table of a report with the class fractions by other readings of the data."""

from collections.abc import Mapping, Sequence
from typing import Any

from oxytomo.measure.composition import WITHOUT
from oxytomo.results.fractions import Fraction, fractions_of
from oxytomo.results.names import percent
from oxytomo.results.readings import chi_square_without, described, hanging
from oxytomo.view.report import Table


def readings_table(content: Mapping[str, Any]) -> Table | None:
    """Return the fractions by each reading; None where there is no other reading.

    Parameters
    ----------
    content : ``phases.json``
    """
    readings = content.get("readings") or {}
    if not readings:
        return None
    fractions = [one for one in fractions_of(content) if one.key != "target"]
    model = content.get("model") or {}
    rows = [
        ["as reported", *(percent(one.value) for one in fractions), _fit(model.get("chi_square_per_dof"))]
    ]
    for reading, shares in readings.items():
        chi = (
            chi_square_without(content, reading.removeprefix(WITHOUT))
            if reading.startswith(WITHOUT)
            else None
        )
        rows.append([described(reading), *_shares(shares, fractions), _fit(chi)])
    hang = list(dict.fromkeys(described(f"{WITHOUT}{one.term}") for one in hanging(content)))
    note = (
        "Each row changes one thing. Without a term of the model the other terms are fitted again, and the particle is "
        "reconstructed again; such a row is no part of the intervals."
    )
    if hang:
        note += f" A class lies outside of its 95 % interval {'; '.join(hang)}: it hangs on that term."
    return Table(
        "Fractions by other readings of the data",
        ("reading", *(one.name for one in fractions), "χ² per degree of freedom"),
        rows,
        numeric=frozenset(range(1, 2 + len(fractions))),
        note=note,
    )


def _shares(shares: Mapping[str, float | None], fractions: Sequence[Fraction]) -> list[str]:
    values = [shares.get(one.key) for one in fractions]
    return ["unknown" if value is None else percent(value) for value in values]


def _fit(chi_square: float | None) -> str:
    return "" if chi_square is None else f"{float(chi_square):.2f}"
