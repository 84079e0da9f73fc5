"""Settings of ``oxytomo plan``: the measurement planned for a beam time."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from oxytomo.config.base import Settings, setting
from oxytomo.config.elements import Formula, checked_formula, known_elements
from oxytomo.config.instrument import InstrumentSettings
from oxytomo.config.ranges import ENERGY_EV

Energy = Annotated[float, Field(ge=ENERGY_EV[0], le=ENERGY_EV[1])]

FAULTS: dict[str, dict[str, Any]] = {
    "stray light of 2 %": {"stray": 0.02},
    "O cross-section on the edge 10 % above the table": {"post_edge": {"O": 1.1}},
    "O cross-section on the edge 5 % higher in the outer 100 nm": {"rim_change": {"O": 0.05}},
    "skin of 10 nm Li2CO3": {"skin_nm": 10.0},
    "six carbon clumps of 200 nm": {"carbon_clumps": 6},
    "holey carbon film of 30 nm": {"film_nm": 30.0, "film_hole_nm": 500.0},
    "PVDF, 0 to 100 nm": {"binder_nm": 100.0},
    "illumination moves by 0.5 px": {"beam_shift_px": 0.5},
    "tilts wrong by 0.2° rms": {"angle_rms_deg": 0.2},
    "5 % of the oxygen lost during the scan": {"oxygen_loss": 0.05},
    "point spread of 1.6 px": {"psf_px": 1.6},
}
"""Effects that are simulated if the plan names none."""


class PlanSettings(Settings):
    """A planned measurement: particle, pixels, tilts, photons and energies."""

    sample: str | None = setting(
        None, "sample of this file that gives the formula, density, threshold and energies; empty: the first"
    )
    particle_nm: float = setting(..., "diameter of the particle", unit="nm", gt=0, le=1e6)
    pixel_nm: float = setting(..., "pixel size in the object plane", unit="nm", gt=0, le=1e5)
    photons_per_pixel: float = setting(
        ..., "counts per pixel, frame and energy without a sample", unit="counts", ge=1, le=1e9
    )
    tilts: int = setting(131, "number of tilts at each energy", ge=5, le=2000)
    tilt_limit_deg: float = setting(65.0, "largest tilt angle on either side", unit="deg", ge=10, le=90)
    psf_px: float = setting(
        0.8, "standard deviation of the instrument's point spread on the detector", unit="px", ge=0, le=5
    )
    efficiency: float = setting(
        1.0,
        "fraction of the transmitted photons that the detector counts (for the dose)",
        unit="fraction",
        gt=0,
        le=1,
    )
    energies_ev: dict[str, tuple[Energy, Energy]] = setting(
        {},
        "for each element, the energies below and on its edge; empty: those of the sample's series",
        unit="eV",
    )
    formula: Formula | None = setting(
        None, "atoms per formula unit of the expected composition; empty: the sample's", unit="atoms"
    )
    density_g_cm3: float | None = setting(
        None, "mass density of the expected composition; empty: the sample's", unit="g/cm³", gt=0.0, le=25.0
    )
    threshold: float | None = setting(
        None,
        "TM/O deviation that the measurement has to detect; empty: the sample's threshold",
        unit="fraction",
        gt=0.0,
        lt=0.5,
    )
    faults: dict[str, InstrumentSettings] = setting(
        {name: InstrumentSettings(**switches) for name, switches in FAULTS.items()},
        "effects of the instrument and the sample to simulate, each under a name of your choice",
    )
    seeds: int = setting(2, "number of simulated particles for each answer", ge=1, le=20)
    minutes: float = setting(3.0, "time limit for the simulations", unit="min", gt=0, le=600)

    _symbols = field_validator("energies_ev", mode="before")(
        lambda value: known_elements(value, what="the energies")
    )
    _atoms = field_validator("formula")(checked_formula)
