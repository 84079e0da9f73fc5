"""Pictures of the deviation: the first screen, and maps with their error and the null run."""

from oxytomo.results.records import Composition
from oxytomo.slabs import count_set
from oxytomo.view.report import Picture, Section
from oxytomo.view.slices import MapRow, map_rows
from oxytomo.view.style import DIVERGING, SEQUENTIAL
from oxytomo.view.telling import telling_figure


def telling_picture(result: Composition) -> Picture | None:
    """Return the picture of the first screen, None without classes."""
    if result.phases is None or not count_set(result.phases):
        return None
    figure = telling_figure(
        result.deviation, result.phases, voxel_nm=result.voxel_nm, threshold=result.threshold
    )
    return Picture(
        "Classes in 3D and the most telling slice",
        figure,
        "Left: the oxygen-poor and oxygen-rich regions in the particle. Right: the slice with most of both. Red: too much "
        "metal for its oxygen (oxygen-poor), blue: too little (oxygen-rich), grey: outside. Dashes: the threshold.",
        wide=True,
    )


def map_rows_of(result: Composition) -> dict[str, MapRow]:
    """Return deviation, null run and error as rows of cuts, those that there are."""
    reach = 3 * result.threshold
    rows = {"deviation": MapRow(result.deviation, "TM/O deviation", (-reach, reach), DIVERGING)}
    if result.null is not None:
        rows["null"] = MapRow(result.null, "deviation, null run", (-reach, reach), DIVERGING)
    if result.sigma is not None:
        rows["sigma"] = MapRow(result.sigma, "error σ of a voxel", (0.0, reach / 3), SEQUENTIAL)
    return rows


def maps_section(result: Composition) -> Section:
    """Return the maps of the deviation with its error and the null run beside it."""
    rows = map_rows_of(result)
    said = [
        "Cuts through the centre of the particle. Red: oxygen-poor side, blue: oxygen-rich side, grey: outside."
    ]
    if "null" in rows:
        said.append(
            "Second row: the null run, a uniform particle with the same noise, in the same colours. What looks like it is "
            "noise."
        )
    if "sigma" in rows:
        said.append("Last row: the standard error of each voxel; its bar ends at the threshold.")
    figure = map_rows(list(rows.values()), result.particle, voxel_nm=result.voxel_nm)
    picture = Picture("TM/O deviation", figure, " ".join(said), wide=True)
    return Section("Deviation, its error and the null run", pictures=[picture])
