"""Constants of cathode materials with their sources, and quantities derived from them."""

from dataclasses import dataclass

from oxytomo.mechanics.elasticity import Elastic


@dataclass(frozen=True)
class Material:
    """Constants of a material.

    Attributes
    ----------
    elastic : Young's modulus, GPa, and Poisson's ratio
    volume_strain : ΔV/V when x, the lithium content, goes from 0 to 1
    diffusivity_um2_s : diffusivity of lithium, µm² s⁻¹ (10⁻¹² m² s⁻¹)
    source : literature that the numbers come from
    """

    elastic: Elastic
    volume_strain: float
    diffusivity_um2_s: float
    source: str

    @property
    def linear_strain(self) -> float:
        """Linear strain when x goes from 0 to 1, for small strains."""
        return (1 + self.volume_strain) ** (1 / 3) - 1


PRESETS = {
    "nmc811": Material(
        Elastic(140.0, 0.3),
        0.051,
        4e-3,
        "ΔV/V 5.1 %: Kondrakov et al. 2017; E 140 GPa, ν 0.3: indentation; D 4·10⁻¹⁵ m² s⁻¹: Chen et al. 2020",
    ),
    "nmc111": Material(
        Elastic(140.0, 0.3),
        0.012,
        4e-3,
        "ΔV/V 1.2 %: Kondrakov et al. 2017; E 140 GPa, ν 0.3: indentation; D 4·10⁻¹⁵ m² s⁻¹: Chen et al. 2020",
    ),
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
