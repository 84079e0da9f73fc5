"""Spectrum images and image stacks as files of electron microscopes, with the writers of RosettaSciIO."""

from pathlib import Path

import numpy as np

ENERGY = 300.0 + 5.0 * np.arange(200)
"""Energies in eV of the last axis of spectrum images."""


def written(path: Path, values: np.ndarray, *, energy_unit: str = "eV", title: str = "SI") -> Path:
    """Write a spectrum image (y, x, E), or images, with the writer of its format."""
    n_e = ENERGY.size
    scale = {"eV": 1.0, "keV": 1e-3}[energy_unit]
    axes = [
        {
            "name": "y",
            "size": values.shape[-3 if values.shape[-1] == n_e else -2],
            "scale": 2.0,
            "units": "nm",
        },
        {
            "name": "x",
            "size": values.shape[-2 if values.shape[-1] == n_e else -1],
            "scale": 2.0,
            "units": "nm",
        },
    ]
    if values.shape[-1] == n_e:
        axes.append(
            {"name": "Energy", "size": n_e, "scale": 5 * scale, "offset": 300 * scale, "units": energy_unit}
        )
    if values.ndim > len(axes):
        axes.insert(0, {"name": "tilt", "size": len(values), "scale": 10.0, "offset": -10.0, "units": "deg"})
    for index, axis in enumerate(axes):
        axis |= {
            "offset": axis.get("offset", 0.0),
            "navigate": index < len(axes) - 1,
            "index_in_array": index,
        }
        axis |= {"_type": "UniformDataAxis", "is_binned": False}
    signal = {
        "data": values,
        "axes": axes,
        "metadata": {"General": {"title": title}, "Signal": {"signal_type": ""}},
        "original_metadata": {},
        "attributes": {"_lazy": False, "ragged": False},
        "learning_results": {},
        "models": {},
        "package_info": {"package": "hyperspy", "package_version": "2.0"},
        "tmp_parameters": {},
    }
    if path.suffix == ".emd":
        from rsciio.emd import file_writer

        file_writer(str(path), signal)
    else:
        from rsciio.hspy import file_writer

        file_writer(str(path), signal, close_file=True)
    return path
