"""Constants of cathode materials with their sources, and quantities derived from them."""

from dataclasses import dataclass, field

from oxytomo.mechanics.elasticity import Elastic


@dataclass(frozen=True)
class Material:
    """Constants of a material.

    Attributes
    ----------
    elastic : Young's modulus, GPa, and Poisson's ratio
    volume_strain : ΔV/V when x, the lithium content, goes from 0 to 1
    diffusivity_um2_s : diffusivity of lithium, µm² s⁻¹ (10⁻¹² m² s⁻¹)
    sources : literature of each constant, by its name
    toughness_mpa_sqrt_m : fracture toughness K_Ic, MPa √m; None if unknown
    exchange_current_a_m2 : exchange current density, A m⁻²; None if unknown
    """

    elastic: Elastic
    volume_strain: float
    diffusivity_um2_s: float
    sources: dict[str, str] = field(default_factory=dict)
    toughness_mpa_sqrt_m: float | None = None
    exchange_current_a_m2: float | None = None

    @property
    def linear_strain(self) -> float:
        """Linear strain when x goes from 0 to 1, for small strains."""
        return (1 + self.volume_strain) ** (1 / 3) - 1


_COMMON = {
    "youngs_gpa": "140 GPa: nanoindentation of NMC particles",
    "poisson": "0.3: assumed together with the indentation modulus",
    "diffusivity_m2_s": "4e-15 m²/s: Chen et al., J. Electrochem. Soc. 167, 080534 (2020)",
    "toughness_mpa_sqrt_m": "about 0.1 MPa √m: estimates for NMC secondary particles",
    "exchange_current_a_m2": "3.4 A/m²: value used for NMC electrodes",
}
PRESETS = {
    "nmc811": Material(
        Elastic(140.0, 0.3),
        0.051,
        4e-3,
        {"volume_strain": "5.1 %: Kondrakov et al., J. Phys. Chem. C 121, 3286 (2017)", **_COMMON},
        0.1,
        3.4,
    ),
    "nmc111": Material(
        Elastic(140.0, 0.3),
        0.012,
        4e-3,
        {"volume_strain": "1.2 %: Kondrakov et al., J. Phys. Chem. C 121, 3286 (2017)", **_COMMON},
        0.1,
        3.4,
    ),
}
STIFFNESS_RANGE = ((140.0, 0.3), (375.0, 0.2))
DIFFUSIVITY_RANGE_M2_S = (4e-15, 5e-13)
"""Range of the constants in the literature: E with ν from indentation, and as in PyBaMM (Ai 2020);
D of Chen et al. 2020, and of the study that the idealised particle comes from."""


def literature_range(material: Material) -> dict[str, tuple[float, float]]:
    """Return the factors by which the amplitude changes over the literature's range of a constant.

    ``youngs_gpa`` moves stress by E / (1 − ν), ``diffusivity_m2_s`` by 1 / D. Both are relative to
    the constants of ``material``.
    """
    own = material.elastic.youngs_gpa / (1 - material.elastic.poisson)
    stiff = sorted(youngs / (1 - poisson) / own for youngs, poisson in STIFFNESS_RANGE)
    slow, fast = (1e12 * one for one in DIFFUSIVITY_RANGE_M2_S)
    own_d = material.diffusivity_um2_s
    return {
        "youngs_gpa": (min(1.0, stiff[0]), max(1.0, stiff[-1])),
        "diffusivity_m2_s": (min(1.0, own_d / fast), max(1.0, own_d / slow)),
    }


def sustained(radius_um: float, rate_per_s: float, diffusivity_um2_s: float) -> float:
    """Return A = R² ẋ / 6 D.

    Above 1 the surface is full or empty before lithium reaches the middle.
    """
    return radius_um**2 * rate_per_s / (6 * diffusivity_um2_s)


def amplitude_mpa(material: Material, radius_um: float, rate_per_s: float) -> float:
    """Return [E ε / (1 − ν)] · ẋ R² / D, MPa: the stress scale that multiplies the shape factor.

    ε is the linear strain when x goes from 0 to 1.
    """
    elastic = material.elastic
    pull = 1e3 * elastic.youngs_gpa * material.linear_strain / (1 - elastic.poisson)
    return pull * rate_per_s * radius_um**2 / material.diffusivity_um2_s
