"""The phase lag of every frame of a scan, in blocks, and warnings for its reader."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.phase.beam import border_level
from oxytomo.phase.checks import border_share, fit_distances
from oxytomo.phase.ctf import Transfer, ctf, transfer
from oxytomo.phase.optics import cone_displacement_px
from oxytomo.phase.paganin import paganin
from oxytomo.phase.propagation import Frame
from oxytomo.phase.scan import PhaseScan

BLOCK_BYTES = 3e8
"""Memory of one block of frames with all arrays computed from it."""
COPIES = 12
"""Number of arrays of a padded frame in memory at a time, for each distance."""
LOOK_DELTA_BETA = 200.0
"""δ/β of the images for the registration of distances, if that of the sample is unknown: the images
only need to look alike."""
CUT = 0.5
"""Above this border level relative to the particle's, the particle leaves the frame; fringes alone
reach 0.35."""
COARSE = 1.5
"""A diffraction limit above this many pixels is reported."""
CHECK_FRAMES, CHECK_SIZE = 2, 256
"""Number of frames, and their size after binning, on which distances are checked."""
CHECK_GAIN = 1.1
"""Another distance is reported if it fits better by this factor."""

Registered = Callable[[slice | list[int]], tuple[FloatArray, Float64Array]]
"""Gives some frames of all distances on one grid, (n_distance, n, n_y, n_x) optical density, and
the shifts (n_distance, n, 2) that were corrected."""


@dataclass(frozen=True)
class RetrievalOptions:
    """How the phase is retrieved; see the settings of the same names."""

    isolated: bool | None
    iterations: int
    low_weight: float
    high_weight: float


@dataclass(frozen=True)
class Cut:
    """Where the particle leaves the frame: ``rows`` top or bottom, ``columns`` the sides."""

    rows: bool
    columns: bool


@dataclass(frozen=True)
class PhaseMaps:
    """The phase lag of all frames.

    Attributes
    ----------
    value : (n_tilt, n_y, n_x) float32, radian, or optical density where no phase is retrieved
    shift_px : (n_distance, n_tilt, 2) dy, dx that were corrected in each frame
    misfit : (n_distance, n_tilt) misfit of each hologram to the solution, NaN if not computed
    warnings : sentences for the reader of the result
    """

    value: FloatArray
    shift_px: Float64Array
    misfit: Float64Array
    warnings: list[str]


def some_frames(n_tilt: int) -> list[int]:
    """Return a few frames spread over a scan."""
    return sorted({int(t) for t in np.linspace(0, n_tilt - 1, min(n_tilt, CHECK_FRAMES))})


def frame_blocks(scan: PhaseScan) -> Iterator[slice]:
    """Yield slices of frames that fit in the memory set aside for a block."""
    rows, columns = (n + 2 * scan.margin_px for n in scan.shape)
    size = max(1, int(BLOCK_BYTES / (4 * COPIES * len(scan.names) * rows * columns)))
    for start in range(0, scan.tilt_deg.size, size):
        yield slice(start, min(start + size, scan.tilt_deg.size))


def single_distance(scan: PhaseScan, density: FloatArray, index: int) -> FloatArray:
    """Single-distance phase image of frames, or the frames themselves without a distance.

    Parameters
    ----------
    scan : facts of the scan
    density : (n, n_y, n_x) float32, optical density (or given phase) on the common grid
    index : number of the series
    """
    if not scan.uses_propagation:
        return density
    frame = Frame.around((density.shape[1], density.shape[2]), margin_px=scan.margin_px)
    return paganin(
        np.exp(-density),
        frame,
        wavelength=scan.wavelength,
        distance_nm=scan.distances[index].effective_nm,
        pixel_nm=scan.pixel_nm,
        delta_beta=scan.delta_beta or LOOK_DELTA_BETA,
        workers=1,
    )


def first_look(scan: PhaseScan, density: FloatArray) -> FloatArray:
    """Return phase images of some frames with the finest pixels, positive for matter."""
    return single_distance(scan, density, scan.reference) * scan.sign


def leaves_frame(images: FloatArray) -> Cut:
    """Return where the particle leaves the field of view.

    Parameters
    ----------
    images : (n, n_y, n_x) float32, phase lag or optical density without background
    """
    rows, columns = border_share(images)
    return Cut(bool(np.median(rows) > CUT), bool(np.median(columns) > CUT))


def retrieve(
    scan: PhaseScan,
    registered: Registered,
    value: FloatArray,
    options: RetrievalOptions,
    *,
    cut: Cut,
    without_background: Callable[[FloatArray], FloatArray],
    workers: int,
    progress: Callable[[int, int], None],
) -> PhaseMaps:
    """Retrieve the phase of all frames, block by block.

    Parameters
    ----------
    scan : facts of the scan
    registered : gives frames of all distances on one grid
    value : (n_tilt, n_y, n_x) float32, is filled with the phase lag
    options : method and weights of the retrieval
    cut : where the particle leaves the frame
    without_background : subtracts the air level from frames without phase retrieval
    workers : threads
    progress : told how many frames of all are done
    """
    n_tilt = scan.tilt_deg.size
    shift_px = np.zeros((len(scan.names), n_tilt, 2))
    misfit = np.full((len(scan.names), n_tilt), np.nan)
    setup = _transfer(scan, options) if scan.method == "ctf" else None
    isolated = options.isolated if options.isolated is not None else not (cut.rows or cut.columns)
    for part in frame_blocks(scan):
        density, shift_px[:, part] = registered(part)
        if setup is None:
            value[part] = _one_distance(scan, density, isolated=isolated)
        else:
            intensity, turns = np.exp(-density), options.iterations
            found = ctf(intensity, setup, isolated=isolated, iterations=turns, workers=workers)
            value[part], misfit[:, part] = found.lag, found.misfit
        if scan.sign < 0:
            value[part] *= -1
        if not scan.uses_propagation and not cut.columns:
            value[part] = without_background(value[part])
        progress(part.stop, n_tilt)
    warnings = scan_warnings(scan, cut, options)
    if scan.method == "ctf" and len(scan.names) > 1:
        density, _ = registered(some_frames(n_tilt))
        warnings += distance_warnings(scan, density, options, isolated=isolated, workers=workers)
    return PhaseMaps(value, shift_px, misfit, warnings)


def _one_distance(scan: PhaseScan, density: FloatArray, *, isolated: bool) -> FloatArray:
    """Phase lag (or density) of a block; the border level of an isolated sample is 0."""
    level = np.log(border_level(np.exp(-density[0]))) if isolated and scan.method == "paganin" else 0.0
    return single_distance(scan, density[0] + np.reshape(level, (-1, 1, 1)).astype(np.float32), 0)


def _transfer(scan: PhaseScan, options: RetrievalOptions) -> Transfer:
    return transfer(
        Frame.around(scan.shape, margin_px=scan.margin_px),
        wavelength=scan.wavelength,
        distances_nm=scan.distances_nm,
        pixel_nm=scan.pixel_nm,
        delta_beta=scan.delta_beta,
        low_weight=options.low_weight,
        high_weight=options.high_weight,
    )


def scan_warnings(scan: PhaseScan, cut: Cut, options: RetrievalOptions) -> list[str]:
    """Return the effects of geometry and field of view of a scan on its result."""
    found = []
    if cut.columns:
        found.append(
            "the particle leaves the field of view at the sides: grey values are relative, edges are wrong"
        )
    elif cut.rows:
        found.append("the particle leaves the field of view at top or bottom: it is measured in part")
    if scan.source_sample_mm is not None:
        moved = cone_displacement_px(
            n_rows=scan.shape[0],
            n_columns=scan.shape[1],
            pixel_nm=scan.pixel_nm,
            source_sample_mm=scan.source_sample_mm,
        )
        if moved > 0.5:
            found.append(
                f"the cone beam is taken as parallel: voxels at the corner of the field move by {moved:.2f} px"
            )
    if scan.diffraction_limit_nm > COARSE * scan.pixel_nm:
        found.append(
            f"detail finer than {scan.diffraction_limit_nm:.0f} nm diffracts out of the frame at the shortest distance: "
            f"pixels of {scan.pixel_nm:g} nm do not resolve it"
        )
    if scan.method == "ctf" and scan.delta_beta is None and not options.iterations:
        found.append("without delta_beta and iterations the lowest frequencies of the phase are not known")
    return found


def distance_warnings(
    scan: PhaseScan, density: FloatArray, options: RetrievalOptions, *, isolated: bool, workers: int
) -> list[str]:
    """Return which stated distance does not fit the holograms.

    Parameters
    ----------
    density : (n_distance, n, n_y, n_x) float32, a few frames, registered; they are binned here
    """
    factor = max(1, min(scan.shape) // CHECK_SIZE)
    rows, columns = (n // factor for n in scan.shape)
    cut = np.exp(-density)[..., : rows * factor, : columns * factor]
    fits = fit_distances(
        cut.reshape(*cut.shape[:2], rows, factor, columns, factor).mean(axis=(3, 5)),
        wavelength=scan.wavelength,
        distances_nm=scan.distances_nm,
        pixel_nm=scan.pixel_nm * factor,
        delta_beta=scan.delta_beta,
        low_weight=options.low_weight,
        high_weight=options.high_weight,
        isolated=isolated,
        margin=-(-scan.margin_px // factor),
        workers=workers,
    )
    best = max(range(len(fits)), key=lambda index: fits[index].gain)
    if fits[best].gain < CHECK_GAIN:
        return []
    all_of_them = best == len(scan.names)
    what = "all distances (or the energy)" if all_of_them else f"the distance of {scan.names[best]}"
    return [
        f"{what} may be wrong: {fits[best].best_scale:g} times the stated effective distance explains the holograms "
        f"{fits[best].gain:.2f} times better"
    ]
