"""The section of a report about alignment and invalid pixels."""

import numpy as np

from pipeline.view.curves import alignment_curves
from pipeline.view.report import Picture, Quantity, Section, Table
from pipeline.view.results import Alignment, Sinogram
from pipeline.view.slices import sinogram_figure
from pipeline.view.style import percent


def alignment_section(alignment: Alignment, sinogram: Sinogram | None) -> Section:
    """Return curves, numbers and invalid pixels of the alignment of a branch."""
    quantities = []
    tilts = alignment.tilt_deg
    if tilts.size > 1:
        quantities.append(
            Quantity(
                "tilts",
                f"{tilts.size} from {tilts.min():g}° to {tilts.max():g}°".replace("-", "−"),
                "tilt angles that all series share",
            )
        )
    if tilts.size > 1 and alignment.residual is not None and np.isfinite(alignment.residual).any():
        quantities.append(
            Quantity(
                "alignment residual",
                percent(float(np.nanmean(alignment.residual))),
                "rms difference of a frame to the re-projection of the volume / standard deviation "
                "of the frame, "
                "mean over tilts",
            )
        )
    move = alignment.quality.get("last_move_px")
    if tilts.size > 1 and isinstance(move, int | float):
        quantities.append(
            Quantity(
                "last move", f"{move:.3f} px", "rms change of the shifts in the last round of the alignment"
            )
        )
    quantities.append(
        Quantity("pixel size", f"{alignment.pixel_nm:.4g} nm", "of the grid that all series were brought to")
    )
    pictures = []
    if tilts.size > 1:
        figure = alignment_curves(tilts, alignment.dy_px, alignment.dx_px, alignment.series)
        caption = (
            "The shifts that were corrected, one curve per series. dx contains the offset of the tilt axis."
        )
        pictures.append(Picture("Shifts", figure, caption, wide=True))
    if sinogram is not None:
        figure = sinogram_figure(
            sinogram.image, sinogram.tilt_deg, pixel_nm=sinogram.pixel_nm, label=sinogram.label
        )
        caption = "The aligned detector row through the middle of the particle at all tilts. Grey: no data."
        pictures.append(Picture("Sinogram", figure, caption))
    tables = [table for table in (_shift_table(alignment), _invalid_table(alignment)) if table is not None]
    return Section("Alignment and data quality", quantities=quantities, pictures=pictures, tables=tables)


def _shift_table(alignment: Alignment) -> Table | None:
    """Return the shifts themselves where there is one tilt and a curve would be a point."""
    if alignment.tilt_deg.size != 1:
        return None
    rows = [
        [name, f"{dy[0]:+.2f}".replace("-", "−"), f"{dx[0]:+.2f}".replace("-", "−")]
        for name, dy, dx in zip(alignment.series, alignment.dy_px, alignment.dx_px, strict=True)
    ]
    return Table("Shifts that were corrected", ("series", "dy (px)", "dx (px)"), rows, frozenset({1, 2}))


def _invalid_table(alignment: Alignment) -> Table | None:
    """Return how many pixels of each series were invalid, and why."""
    reasons = list(dict.fromkeys(reason for counts in alignment.invalid.values() for reason in counts))
    if not reasons:
        return None
    rows = []
    for series, counts in alignment.invalid.items():
        total = alignment.n_pixels.get(series)
        share = percent(sum(counts.values()) / total) if total else ""
        rows.append([series, *(f"{counts.get(reason, 0)}" for reason in reasons), share])
    columns = ("series", *(reason.replace("_", " ") for reason in reasons), "share of all pixels")
    note = "Invalid pixels have no weight anywhere; they are not replaced by plausible values."
    return Table("Invalid pixels", columns, rows, frozenset(range(1, len(columns))), note)
