"""The section of a report about alignment and invalid pixels."""

import numpy as np

from oxytomo.results.records import Alignment
from oxytomo.results.warnings import alignment_warnings
from oxytomo.view.curves import alignment_curves, residual_curves
from oxytomo.view.report import Part, Picture, Quantity, Section, Table
from oxytomo.view.slices import before_and_after, thumbnails
from oxytomo.view.style import percent


def alignment_part(alignment: Alignment) -> Part:
    """Return a separate report of an alignment, to check it before the reconstruction."""
    verdict = alignment.quality.get("verdict")
    checked = ("number and range of tilts", "alignment residuals and limits", "invalid pixels")
    warnings, summary = alignment_warnings(alignment), [verdict] if verdict else []
    return Part("alignment", warnings, checked, summary, [alignment_section(alignment)])


def alignment_section(alignment: Alignment) -> Section:
    """Return curves, numbers and invalid pixels of the alignment of a branch."""
    quantities = _quantities(alignment)
    quantities.append(
        Quantity("pixel size", f"{alignment.pixel_nm:.4g} nm", "of the grid that all series were brought to")
    )
    pictures = []
    tilts = alignment.tilt_deg
    if tilts.size > 1:
        figure = alignment_curves(tilts, alignment.dy_px, alignment.dx_px, alignment.series)
        caption = (
            "The shifts that were corrected, one curve per series. dx contains the offset of the tilt axis."
        )
        pictures.append(Picture("Shifts", figure, caption, wide=True))
    if alignment.residual is not None and np.isfinite(alignment.residual).any():
        figure = residual_curves(
            tilts,
            alignment.residual,
            alignment.residual_as_recorded,
            bad=np.isin(alignment.frames, alignment.quality.get("suspicious_frames", ())),
        )
        caption = (
            "rms difference of each frame to the re-projection of a volume made from all, over the frame's standard "
            "deviation. Crosses: frames that look bad."
        )
        pictures.append(Picture("Misfit of each frame", figure, caption, wide=True))
    if alignment.rows is not None and alignment.slices is not None:
        pixel_nm = alignment.pixel_nm * alignment.quality.get("driver_binning", 1)
        figure = before_and_after(alignment.rows, alignment.slices, tilts, pixel_nm=pixel_nm)
        caption = (
            "One detector row at all tilts and the slice that filtered back-projection makes of it, as recorded and aligned: "
            "bands become smooth and the slice gains detail where the alignment is right."
        )
        pictures.append(Picture("Before and after", figure, caption, wide=True))
    if alignment.shown is not None:
        figure = thumbnails(alignment.shown, [f"frame {n}" for n in alignment.shown_numbers])
        caption = "Frames that were left out or look bad, before the alignment."
        pictures.append(Picture("Frames to look at", figure, caption, wide=True))
    tables = [table for table in (_shift_table(alignment), _invalid_table(alignment)) if table is not None]
    verdict = alignment.quality.get("verdict")
    text = [verdict] if verdict else []
    return Section(
        "Alignment and data quality", text=text, quantities=quantities, pictures=pictures, tables=tables
    )


def _quantities(alignment: Alignment) -> list[Quantity]:
    """Return the numbers of an alignment between tilts."""
    tilts, quality = alignment.tilt_deg, alignment.quality
    if tilts.size == 1:
        return []
    found = [
        Quantity(
            "tilts",
            f"{tilts.size} from {tilts.min():g}° to {tilts.max():g}°".replace("-", "−"),
            "tilt angles that all series share and that are used",
        )
    ]
    if alignment.residual is not None and np.isfinite(alignment.residual).any():
        before = alignment.residual_as_recorded
        known = before is not None and np.isfinite(before).any()
        found.append(
            Quantity(
                "misfit of the frames",
                percent(float(np.nanmedian(alignment.residual)))
                + (
                    f", {percent(float(np.nanmedian(before)))} as recorded"
                    if known and before is not None
                    else ""
                ),
                "rms difference of a frame to the re-projection of a volume after 20 SIRT iterations / standard deviation "
                "of the frame, median over tilts",
            )
        )
    precision = quality.get("precision_px") or []
    if len(precision) == 2 and all(isinstance(p, float) and np.isfinite(p) for p in precision):
        found.append(
            Quantity(
                "precision of a shift",
                f"{precision[0]:.3f} px (dy), {precision[1]:.3f} px (dx)",
                "half the rms difference of the shifts from two interleaved halves of the detector rows",
            )
        )
    lean, error = quality.get("axis_tilt_deg"), quality.get("axis_tilt_error_deg")
    if isinstance(lean, float) and isinstance(error, float) and np.isfinite(lean) and np.isfinite(error):
        done = (
            "corrected" if quality.get("applied_axis_tilt_deg") else "not corrected: too small or uncertain"
        )
        found.append(
            Quantity(
                "lean of the tilt axis",
                f"({lean:+.3f} ± {error:.3f})°, {done}".replace("-", "−"),
                "angle of the axis in the detector plane, from the sums and first moments of the detector rows",
            )
        )
    move = quality.get("last_move_px")
    if isinstance(move, int | float):
        found.append(
            Quantity(
                "last move", f"{move:.3f} px", "rms change of the shifts in the last round of the alignment"
            )
        )
    return found


def _shift_table(alignment: Alignment) -> Table | None:
    """Return the shifts as numbers if there is only one tilt."""
    if alignment.tilt_deg.size != 1:
        return None
    rows = [
        [name, f"{dy[0]:+.2f}".replace("-", "−"), f"{dx[0]:+.2f}".replace("-", "−")]
        for name, dy, dx in zip(alignment.series, alignment.dy_px, alignment.dx_px, strict=True)
    ]
    return Table("Shifts that were corrected", ("series", "dy (px)", "dx (px)"), rows, frozenset({1, 2}))


def _invalid_table(alignment: Alignment) -> Table | None:
    """Return the number of invalid pixels of each series by reason."""
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
