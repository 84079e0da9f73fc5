"""Read tilt series, stacks, volumes and spectra from files; the format is detected."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from oxytomo.arrays import Quantity, Spectrum, TiltSeries
from oxytomo.config import expand
from oxytomo.errors import ConfigError, printable
from oxytomo.io.readers import ReadRequest, read_tilt_series
from oxytomo.io.readers.spectral import SpectralStack, read_spectral_stack
from oxytomo.io.spectra import read_spectrum as spectrum_of_file
from oxytomo.io.volumes import Volume, VolumeRequest
from oxytomo.io.volumes import read_volume as volume_of_files
from oxytomo.library.defaults import per_tilt
from oxytomo.preprocess.tilt_series import transposed

Files = str | PathLike[str] | Sequence[str | PathLike[str]]
"""A file, a folder, a pattern with ``*``, or a list of files."""


def read_series(
    images: Files,
    *,
    angles: str | PathLike[str] | ArrayLike | None = None,
    flat: Files = (),
    dark: Files = (),
    energy_ev: float | None = None,
    pixel_nm: float | None = None,
    quantity: Quantity | None = None,
    offset: float = 0.0,
    dataset: str | None = None,
    tilt_axis: Literal["vertical", "horizontal"] = "vertical",
) -> TiltSeries:
    """Read one raw tilt series; values given here override those in the files.

    Parameters
    ----------
    images : one file (Data Exchange, NeXus, Xradia, MRC, TIFF, …), a folder or a pattern, or files
        in order
    angles : a table with one angle per frame, or the angles themselves, (n_frame,) degrees; None:
        those in the files
    flat, dark : files of flat and dark frames, if they are not in the file of the images
    energy_ev : photon energy, eV
    pixel_nm : pixel size in the object plane, nm
    quantity : "counts", "transmission", "optical_density", "signal" or "complex"; None: as the
        files say
    offset : number added to every raw value, flats and darks included
    dataset : path of the images inside an HDF5 file
    tilt_axis : direction of the tilt axis on the detector; "horizontal" frames are transposed

    Returns
    -------
    TiltSeries with ``frames`` (n_frame, n_y, n_x) in the order of acquisition, ``tilt_deg``,
    ``energy_ev``, ``pixel_nm``, ``flat``, ``dark``

    Raises
    ------
    InputError
        For files that are missing, damaged or of no known format, and for frames without angles.
    ShapeError
        For angles that do not fit the frames.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> from oxytomo import read_series
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/tilts.tif", np.ones((5, 8, 8), np.uint16))
    ...     series = read_series(f"{folder}/tilts.tif", angles=[-60, -30, 0, 30, 60])
    >>> series.frames.shape, series.tilt_deg.tolist()
    ((5, 8, 8), [-60.0, -30.0, 0.0, 30.0, 60.0])
    """
    if tilt_axis not in ("vertical", "horizontal"):
        raise ConfigError(
            "tilt_axis", expected="vertical or horizontal", got=repr(tilt_axis), fix="correct it"
        )
    table = angles is None or isinstance(angles, str | PathLike)
    request = ReadRequest(
        images=_paths(images),
        # Angles given as numbers replace those in the files, which may have none.
        angles=(Path(str(angles)) if angles is not None else None) if table else (0.0, 0.0),
        flat=_paths(flat),
        dark=_paths(dark),
        energy_ev=energy_ev,
        pixel_nm=pixel_nm,
        quantity=quantity,
        offset=offset,
        dataset=dataset,
    )
    series = read_tilt_series(request)
    if tilt_axis == "horizontal":
        series = transposed(series)
    if table:
        return series
    return replace(
        series, tilt_deg=per_tilt(np.asarray(angles, np.float64), series.n_frames, "angles", "degrees")
    )


def read_stack(
    images: Files,
    *,
    energies: str | PathLike[str] | None = None,
    flat: Files = (),
    dark: Files = (),
    pixel_nm: float | None = None,
    quantity: Quantity | None = None,
    dataset: str | None = None,
) -> SpectralStack:
    r"""Open a raw stack of images through an absorption edge; frames are read on demand.

    Parameters
    ----------
    images : one file, a folder or a pattern, or files in order
    energies : table with one energy per frame; None: those in the files
    flat, dark : files of flat and dark frames, if they are not in the file of the images
    pixel_nm : pixel size in the object plane, nm
    quantity : "counts", "transmission", "optical_density" or "complex"; None: as the files say
    dataset : path of the images inside an HDF5 file

    Returns
    -------
    SpectralStack with ``shape`` (n_energy, n_y, n_x), ``energy_ev`` (n_energy,), ``pixel_nm``,
    ``frame(i)``, ``flat(i)``, ``dark()``

    Raises
    ------
    InputError
        For files that are missing, damaged or of no known format, and for frames without energies.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> from pathlib import Path
    >>> from oxytomo import read_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/stack.tif", np.ones((5, 8, 8), np.uint16))
    ...     _ = Path(folder, "energies.csv").write_text("energy_ev\n640\n642\n644\n646\n648\n")
    ...     stack = read_stack(f"{folder}/stack.tif", energies=f"{folder}/energies.csv")
    >>> stack.shape, stack.energy_ev.tolist()
    ((5, 8, 8), [640.0, 642.0, 644.0, 646.0, 648.0])
    """
    request = ReadRequest(
        images=_paths(images),
        flat=_paths(flat),
        dark=_paths(dark),
        pixel_nm=pixel_nm,
        quantity=quantity,
        dataset=dataset,
    )
    table = None if energies is None else _path(energies)
    return read_spectral_stack(request, energies=table, energy_unit=None)


def read_volume(images: Files, *, dataset: str | None = None) -> Volume:
    """Read a reconstructed volume: TIFF, MRC, HDF5, OME-Zarr, NIfTI, NRRD, MetaImage, or slices.

    Parameters
    ----------
    images : one file, an OME-Zarr folder, a folder or a pattern of slices, or files in order
    dataset : path of the volume inside an HDF5 file

    Returns
    -------
    Volume with ``values`` (n_z, n_y, n_x) float32, ``voxel_nm`` (None if the file does not contain
    it) and ``format``

    Raises
    ------
    InputError
        For files that are missing, damaged or of no known format, and voxels that are not cubic.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> from oxytomo import read_volume
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/volume.tif", np.ones((5, 8, 8), np.float32))
    ...     volume = read_volume(f"{folder}/volume.tif")
    >>> volume.values.shape
    (5, 8, 8)
    """
    return volume_of_files(VolumeRequest(images=_paths(images), dataset=dataset))


def read_spectrum(
    path: str | PathLike[str], *, group: str | None = None, energy_unit: str | None = None
) -> Spectrum:
    r"""Read one absorption spectrum: XDI, Athena project, EMSA, or text with an energy column.

    Parameters
    ----------
    path : the file
    group : name of the group in an Athena project, or of the absorption column of a text file
    energy_unit : "eV" or "keV"; None: as the file says

    Returns
    -------
    Spectrum with ``energy_ev`` (n,) increasing and ``absorption`` (n,)

    Raises
    ------
    InputError
        When the file is not a spectrum.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from oxytomo import read_spectrum
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "Mn.csv")
    ...     _ = path.write_text("energy_ev,mu\n1,0\n2,1\n3,2\n4,2\n5,2\n")
    ...     spectrum = read_spectrum(path, energy_unit="eV")
    >>> spectrum.energy_ev.tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    if energy_unit not in (None, "eV", "keV"):
        raise ConfigError("energy_unit", expected="eV or keV", got=repr(energy_unit), fix="correct it")
    return spectrum_of_file(_path(path), group=group, energy_unit=energy_unit)


def _paths(images: Files) -> tuple[Path, ...]:
    """Return the files of a path, a pattern or a list."""
    given: object = [images] if isinstance(images, str | PathLike) else images
    if not isinstance(given, Sequence) or not all(isinstance(one, str | PathLike) for one in given):
        raise _no_path(given, "a path, a pattern, or a list of paths")
    return tuple(expand(tuple(str(one) for one in given)))


def _path(one: object) -> Path:
    """Return a path that the user gave."""
    if not isinstance(one, str | PathLike):
        raise _no_path(one, "a path")
    return Path(one)


def _no_path(given: object, expected: str) -> ConfigError:
    return ConfigError(
        "files", expected=expected, got=printable(repr(given))[:60], fix="give e.g. 'data/tilts.h5'"
    )
