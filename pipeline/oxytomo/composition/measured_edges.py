"""Edges whose near-edge absorption is measured: an element as the sum of its chemical states.

The tables know no white lines, and these depend on the valence. With reference spectra an element
``k`` has one column per state in the solution of a ray,

``OD_e = Σ_k Σ_s μ_kse m_ks + …``, ``m_k = Σ_s m_ks``,

with absolute absorptions ``μ_kse``. Amounts of all elements and all states follow from one weighted
solution. Sums over the states are the amounts of the elements, with their covariance. The
differences are the input of the valence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from oxytomo.arrays import Field, Float64Array, FloatArray, IntArray
from oxytomo.composition.decomposition import pair_index
from oxytomo.composition.instrument import Model, Term, judged
from oxytomo.composition.model_choice import decompose_with_model
from oxytomo.errors import InputError
from oxytomo.preprocess.averaged_rays import AveragedRays

OFFSETS_EV = np.round(np.arange(-3.0, 3.01, 0.1), 1)
WRONG_SCALE_EV, WRONG_SCALE_GAIN, WRONG_SCALE_MISFIT = 0.3, 4.0, 0.01
"""The energies are on another scale than the references if an offset of at least this many eV fits
better by this factor in χ², and the misfit without it exceeds this share of the optical density."""
LEAST_RAYS = 20
RAYS = 500
"""Number of averaged rays that test the energy scale."""
ENERGY_STEP_EV = 0.1


@dataclass(frozen=True)
class MeasuredEdge:
    """Measured absorption of one element in its chemical states.

    Attributes
    ----------
    valences, names : of the states, by increasing valence
    attenuation : (n_energy, n_state) 1/µm at all energies of the series, of the element at its
        density in the reference composition
    moved : gives the same with the energies of the element's own series moved by some eV; raises
        where the references do not reach
    remarks : what a reader should know
    """

    valences: Float64Array
    names: tuple[str, ...]
    attenuation: Float64Array
    moved: Callable[[float], Float64Array]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class StateColumns:
    """Amounts of the states of one element in every ray.

    Attributes
    ----------
    areal : (n_state, n_tilt, n_y, n_x) float32, µm of the reference density, NaN where not solved
    covariance : (n_pair, n_tilt, n_y, n_x) float32, µm²
    valences, names : of the states
    record : how well the references fit, as plain values
    """

    areal: Field
    covariance: Field
    valences: Float64Array
    names: tuple[str, ...]
    record: dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """Columns of a solution, and the elements that they belong to.

    Attributes
    ----------
    elements : symbols
    owner : (n_column,) index of the element of each column
    measured : elements with measured spectra
    """

    elements: tuple[str, ...]
    owner: IntArray
    measured: Mapping[str, MeasuredEdge]

    @classmethod
    def of(cls, elements: Sequence[str], measured: Mapping[str, MeasuredEdge]) -> "Columns":
        """Return one column per element, or per state of an element with measured spectra."""
        counts = [len(measured[e].valences) if e in measured else 1 for e in elements]
        return cls(tuple(elements), np.repeat(np.arange(len(counts)), counts), dict(measured))

    def own(self, element: str) -> list[int]:
        """Return the columns of one element."""
        return np.flatnonzero(self.owner == self.elements.index(element)).tolist()

    def spectra(self, tabulated: Float64Array, moved: Mapping[str, float] | None = None) -> Float64Array:
        """Return (n_energy, n_column) 1/µm from the tabulated (n_energy, n_element) ones.

        ``moved`` adds some eV to the energies of the series of single elements.
        """
        found = tabulated[:, self.owner].copy()
        for element, edge in self.measured.items():
            offset = (moved or {}).get(element, 0.0)
            found[:, self.own(element)] = edge.moved(offset) if offset else edge.attenuation
        return found

    def summed(self, areal: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the amounts of the elements and their covariance, from those of the columns.

        Parameters
        ----------
        areal : (n_column, …); covariance : (n_pair, …), upper triangle row by row
        """
        n, pairs = len(self.elements), pair_index(len(self.elements))
        total = np.zeros((n, *areal.shape[1:]), np.float32)
        spread = np.zeros((len(pairs), *areal.shape[1:]), np.float32)
        for column, element in enumerate(self.owner):
            total[element] += areal[column]
        for row, (i, j) in enumerate(pair_index(self.owner.size)):
            a, b = int(self.owner[i]), int(self.owner[j])
            # Two columns of one element stand in both triangles.
            spread[pairs.index((a, b))] += (2 if a == b and i != j else 1) * covariance[row]
        return total, spread

    def terms(self, terms: Sequence[Term], series: Sequence[str], spare: int) -> list[Term]:
        """Return the terms of a model for these columns.

        Near-edge terms of measured elements are left out: nothing is left to fit. Others need two
        spare energies, or a value from elsewhere. Stray light of an edge is in all series of its element.
        """
        kept = []
        for term in terms:
            if term.element is not None:
                element = self.elements[term.element]
                known = term.given is not None or term.prior is not None
                if element in self.measured or (spare < 2 and not known):
                    continue
                kept.append(replace(term, element=self.own(element)[0]))
            elif term.kind == "stray" and term.name != "stray":
                of_edge = [name.startswith(f"{term.name.removeprefix('stray_')}_") for name in series]
                kept.append(replace(term, column=np.array(of_edge, np.float64)))
            else:
                kept.append(term)
        return kept


def condition_number(matrix: Float64Array) -> float:
    """Return the condition number of spectra, (n_energy, n_column), each scaled to length 1."""
    lengths = np.linalg.norm(matrix, axis=0)
    if matrix.shape[0] < matrix.shape[1] or not (lengths > 0).all():
        return float("inf")
    return float(np.linalg.cond(matrix / lengths))


def require_separable(columns: Columns, matrix: Float64Array, *, most: float) -> float:
    """Return the condition number of all spectra; raise if it is too large."""
    found = condition_number(matrix)
    if not found <= most:
        raise InputError(
            f"energies of {', '.join(columns.measured)}",
            expected=f"energies that tell the references and all elements apart: a condition number "
            f"of at most {most:g}",
            got=f"{found:.3g} for {matrix.shape[0]} energies and {matrix.shape[1]} spectra",
            fix="add energies under 'more' where the references differ, or leave out a reference",
        )
    return found


@dataclass(frozen=True)
class ScaleTest:
    """Input of the tests of the energy scale.

    Attributes
    ----------
    columns : of the solution
    tabulated : (n_energy, n_element) 1/µm
    tied : (n_energy, n_column) 1/µm, absorption of the unmeasured elements
    model : the chosen model
    rays : averaged rays
    """

    columns: Columns
    tabulated: Float64Array
    tied: Float64Array
    model: Model
    rays: AveragedRays

    def moved(self, element: str, offset_ev: float) -> Model | None:
        """Return the model with moved energies of one element; None where that is impossible."""
        try:
            spectra = self.columns.spectra(self.tabulated, {element: offset_ev})
        except InputError:
            return None
        return replace(self.model, attenuation=spectra + self.tied)


def state_record(element: str, series: Sequence[str], test: ScaleTest, condition: float) -> dict[str, Any]:
    """Return how well the references of an element fit; raise if its energy scale is another one.

    Parameters
    ----------
    element : symbol
    series : names of all series
    test : the chosen model
    condition : condition number of all spectra
    """
    edge, columns = test.columns.measured[element], test.columns
    own = [number for number, name in enumerate(series) if name.startswith(f"{element}_")]
    record: dict[str, Any] = {
        "energy_offset_ev": 0.0,
        "best_energy_offset_ev": None,
        "chi_square_per_dof": None,
        "residual_by_energy": None,
        "averaged_rays": len(test.rays),
        "valence_per_0_1_ev": None,
        "condition_number": condition,
        "background": "elements",
        "jump_per_um": None,
        "relative_density": False,
        "valences": edge.valences.tolist(),
        "references": list(edge.names),
        "remarks": list(edge.remarks),
    }
    spare = test.tabulated.shape[0] - columns.owner.size
    rays = test.rays.some(RAYS)
    if spare < 1 or len(rays) < LEAST_RAYS:
        return record
    fit = judged(test.model, rays)
    level = float(rays.density.mean())
    record["chi_square_per_dof"] = fit.per_dof
    record["residual_by_energy"] = (fit.residual[own] / level).tolist()
    record["best_energy_offset_ev"] = _best_offset(element, test, rays, own)
    record["valence_per_0_1_ev"] = _valence_per_step(element, test, rays)
    return record


def _best_offset(element: str, test: ScaleTest, rays: AveragedRays, own: Sequence[int]) -> float | None:
    """Return the energy offset of an element's series that fits best; raise if it is far from 0.

    None without two energies more than columns.
    """
    if test.tabulated.shape[0] - test.columns.owner.size < 2:
        return None
    fits = {}
    for offset in OFFSETS_EV.tolist():
        model = test.moved(element, offset)
        if model is not None:
            # Terms were chosen with these energies: a wrong scale may have asked for them.
            plain = Model(model.attenuation)
            fits[offset] = min(judged(model, rays).per_dof, judged(plain, rays).per_dof)
    now, best = judged(test.model, rays), min(fits, key=lambda offset: fits[offset])
    misfit = float(np.abs(now.residual[own]).max() / rays.density.mean())
    gain = now.per_dof / fits[best]
    if abs(best) >= WRONG_SCALE_EV and gain > WRONG_SCALE_GAIN and misfit > WRONG_SCALE_MISFIT:
        raise InputError(
            f"energies of {element}",
            expected="the energy scale of the references",
            got=f"spectra that fit {gain:.0f} times better (χ²) with {best:+.1f} eV added, and miss by "
            f"{100 * misfit:.1f} % of the optical density without",
            fix="check the energies of the series and of the references: no larger offset can be tried"
            if best in (min(fits), max(fits))
            else f"set 'energy_shift_ev: {-best:g}' of the references of {element}, or correct 'energy_ev' of "
            "the series",
        )
    return best


def _valence_per_step(element: str, test: ScaleTest, rays: AveragedRays) -> float | None:
    """Return the change of the mean valence if the energies of the element move up by 0.1 eV."""
    edge, columns = test.columns.measured[element], test.columns.own(element)
    means = []
    for offset in (0.0, ENERGY_STEP_EV):
        model = test.model if offset == 0 else test.moved(element, offset)
        if model is None or len(edge.valences) < 2:
            return None
        density, variance = (one.T[:, None, :].astype(np.float32) for one in (rays.density, rays.variance))
        areal = decompose_with_model(density, variance, model).areal[columns]
        amounts = np.nansum(areal.reshape(len(columns), -1), axis=1, dtype=np.float64)
        means.append(float(edge.valences @ amounts / amounts.sum()))
    return means[1] - means[0]
