"""Convert a configured source to a request for the readers."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from oxytomo.config import (
    AngleRamp,
    MapSource,
    MechanicsConfig,
    Source,
    StackSource,
    StructureConfig,
    VolumeSource,
    expand,
)
from oxytomo.config.plan import branch_sources
from oxytomo.config.quantities import BranchConfig
from oxytomo.config.stage_settings import NormalizeStage
from oxytomo.errors import InputError
from oxytomo.io.emission_maps import ColumnRequest, MapRequest, read_map
from oxytomo.io.readers import ReadRequest, peek
from oxytomo.io.readers.base import SpectrumRequest
from oxytomo.io.readers.spectral import SpectralStack, read_spectral_stack
from oxytomo.io.volumes import VolumeRequest
from oxytomo.preprocess.tilt_series import Normalization


def normalization(settings: NormalizeStage) -> Normalization:
    """Return the normalisation options of a series, without descriptions."""
    return Normalization(**{one.name: getattr(settings, one.name) for one in fields(Normalization)})


def read_request(source: Source) -> ReadRequest:
    """Return the request for the readers for a configured source."""
    angles = source.angles
    return ReadRequest(
        images=tuple(expand(source.images)),
        angles=(angles.start, angles.step)
        if isinstance(angles, AngleRamp)
        else (None if angles is None else Path(angles)),
        angles_range=source.angles_range,
        flat=tuple(expand(source.flat)),
        dark=tuple(expand(source.dark)),
        energy_ev=source.energy_ev,
        only_energy_ev=source.only_energy_ev,
        pixel_nm=source.pixel_nm,
        quantity=source.quantity,
        offset=source.offset,
        dataset=source.dataset,
        flat_dataset=source.flat_dataset,
        dark_dataset=source.dark_dataset,
        angles_dataset=source.angles_dataset,
        energy_dataset=source.energy_dataset,
        spectrum=None
        if source.spectrum is None
        else SpectrumRequest(
            window_ev=source.spectrum.window_ev,
            background_ev=source.spectrum.background_ev,
            background=source.spectrum.law,
        ),
    )


def open_stack(source: StackSource) -> SpectralStack:
    """Return the raw stack of a configured source; its frames are read on demand."""
    request = ReadRequest(
        images=tuple(expand(source.images)),
        flat=tuple(expand(source.flat)),
        dark=tuple(expand(source.dark)),
        pixel_nm=source.pixel_nm,
        quantity=source.quantity,
        offset=source.offset,
        dataset=source.dataset,
        flat_dataset=source.flat_dataset,
        dark_dataset=source.dark_dataset,
        energy_dataset=source.energy_dataset,
    )
    energies = None if source.energies is None else Path(source.energies)
    return read_spectral_stack(request, energies=energies, energy_unit=source.energy_unit)


def map_request(source: MapSource) -> MapRequest:
    """Return the request for the reader of maps for a configured source."""

    def axis(given: object) -> Path | tuple[float, float] | None:
        if given is None:
            return None
        return Path(given) if isinstance(given, str) else (given.start, given.step)  # type: ignore[attr-defined]

    columns = {
        name: ColumnRequest(
            file=None if column.file is None else Path(column.file),
            group=column.group,
            dataset=column.dataset,
            energy_unit=column.energy_unit,
            divide_by_flux=column.divide_by_flux,
            depth=column.depth,
        )
        for name, column in source.columns.items()
    }
    return MapRequest(
        images=tuple(expand(source.images)),
        dataset=source.dataset,
        excitation=axis(source.excitation),
        emission=axis(source.emission),
        excitation_dataset=source.excitation_dataset,
        emission_dataset=source.emission_dataset,
        excitation_along=source.excitation_along,
        energy_unit=source.energy_unit,
        flux=None if source.flux is None else Path(source.flux),
        flux_dataset=source.flux_dataset,
        units_per_photon=source.units_per_photon,
        columns=columns,
    )


def volume_request(source: VolumeSource) -> VolumeRequest:
    """Return the request for the volume readers for a configured source."""
    return VolumeRequest(
        images=tuple(expand(source.images)),
        dataset=source.dataset,
        shape=source.shape,
        dtype=None if source.dtype is None else np.dtype(source.dtype).newbyteorder(source.byte_order).str,
        header_bytes=source.header_bytes,
    )


def branch_shapes(config: BranchConfig) -> dict[str, tuple[int, int, int]]:
    """Return (n_frame, n_y, n_x) per series of a branch, and (n_z, n_y, n_x) of a volume."""
    if isinstance(config, StructureConfig) and config.volume is not None:
        return {"volume": volume_shape(config.volume)}
    if isinstance(config, MechanicsConfig):
        return {} if config.labels is None else {"labels": volume_shape(config.labels)}
    shapes = {}
    for name, source in branch_sources(config).items():
        if isinstance(source, MapSource):
            shapes[name] = (1, *read_map(map_request(source)).values.shape)
        elif isinstance(source, StackSource):
            shapes[name] = open_stack(source).shape
        elif isinstance(source, Source):
            shapes[name] = peek(read_request(source)).shape
    return shapes


def volume_shape(source: VolumeSource) -> tuple[int, int, int]:
    """Return (n_z, n_y, n_x) of a volume without reading it.

    If the header is not one of raw frames (OME-Zarr, NRRD, NIfTI, a dataset without axes), the
    volume is assumed to be a cube of four-byte values with the size of its files.
    """
    if source.shape is not None:
        n_z, n_y, n_x = (1, *source.shape)[-3:]
        return n_z, n_y, n_x
    request = volume_request(source)
    try:
        return peek(ReadRequest(images=request.images, dataset=request.dataset, angles=(0.0, 1.0))).shape
    except InputError:
        edge = max(1, round((_size_bytes(request.images) / 4) ** (1 / 3)))
        return edge, edge, edge


def _size_bytes(paths: tuple[Path, ...]) -> int:
    """Return the bytes of files, and of all files in folders."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())
