"""Ranges of plausible values; a value outside has a wrong unit or a typing error."""

PIXEL_NM = (0.01, 1e6)
"""Pixel and voxel edges, in nm: from below the atoms of an electron microscope to a millimetre."""
DENSITY_G_CM3 = (0.1, 25.0)
"""Mass densities, in g/cm³: from an aerogel to above osmium."""
ENERGY_EV = (10.0, 1e6)
"""Photon energies, in eV."""
FRAME_PX = (6, 100_000)
"""Rows and columns of a frame of a tilt series."""
ATOMS = (1e-6, 1000.0)
"""Atoms per formula unit."""

COUNT = 10**12
"""Upper limit of counts and of numbers of voxels, above any detector or volume."""
WEIGHT = 1e12
EDGE_PX = 1e6
"""Upper limit of the width of a detector."""

DESCRIPTIONS: dict[str, str] = {
    "pixel_nm": "a pixel size of 0.01 nm to 1 mm (1000000 nm)",
    "voxel_nm": "a voxel edge of 0.01 nm to 1 mm (1000000 nm)",
    "density_g_cm3": "a density of 0.1 to 25 g/cm³",
    "energy_ev": "a photon energy of 10 to 1000000 eV",
}
"""Names of the ranges in error messages, by the name of the setting."""


def is_plausible(value: float, within: tuple[float, float]) -> bool:
    """Return True if a number is within a range; NaN (unknown) is accepted."""
    return value != value or within[0] <= value <= within[1]
