"""Costs of each stage from the size of its data: memory, new files, core seconds.

The numbers are fits to the peak resident memory in the logs of stages (96³ with 66
tilts up to 512³ and 8 × 131 × 128 × 160); ``tests/workflow`` compares them with new runs. See
docs/how-to/cluster.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oxytomo.stages.registry import STAGES

MB = 1e6
STARTUP_S = 5.0
"""Memory of Python and compiled code, for each stage."""
UPDATES_PER_S = 2.5e9
"""Ray–voxel updates of the projector per second on one core, a conservative value."""
STACK_BYTES_PER_S = 1e7
"""Bytes of a stack (float32) that all stages process per second on one core, conservative."""
FIELD_MB = 168.0
"""Larger fields are kept in files during the segmentation and measurement of voids."""
RAW_MB = 1074.0
"""Larger raw series are read frame by frame, if the format allows this."""
CLASSES_MB = 110.0
"""Larger volumes are classified slab by slab."""
STACK_MB = 1500.0
"""Stacks of any size need at most this, plus a few frames."""
DRIVER_MB, DRIVER_VOLUME_MB = 192.0, 768.0
"""Largest size of frames and volume for the alignment of tilts; larger ones are binned."""
SOLVED_MB, REPEATED_MB = 2350.0, 3000.0
"""Largest memory of a solver or replicate (or of slabs of few slices, if these are large)."""
SOLVER_MB = 310.0
"""A solver without data: 230 MB with compiled kernels, 380 MB where a job has to compile them first."""
FRAME_GROUP_MB = 64.0
"""Frames of large series are processed in groups of this size."""
PART_HALO = 8
"""Width of the halo of a part of a volume, in slices on each side."""
REPORT_BASE_MB: Mapping[str, float] = {"composition": 130, "oxidation": 50}
"""Memory for the figures of a branch in the report."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the data of one branch, in MB as float32.

    Attributes
    ----------
    series, stack_frame : the largest series of frames, and one of its frames
    n_series : number of series
    volume, area : the volume, and one slice of it
    elements, repeats : measured elements; noise replicates and null runs
    passes : number of projections of every ray of one volume, by stage
    projections : rays of one volume times voxels along them
    rows, parts : slices of the volume; number of jobs for these slices
    total_variation : True if a tomogram is reconstructed with total variation
    solved : the largest volume on which stress is solved, in MB
    """

    series: float = 0.0
    stack_frame: float = 0.0
    n_series: int = 1
    volume: float = 0.0
    area: float = 0.0
    elements: int = 0
    repeats: int = 0
    passes: Mapping[str, float] | None = None
    projections: float = 0.0
    rows: int = 1
    parts: int = 1
    total_variation: bool = False
    solved: float = 0.0

    @property
    def part(self) -> float:
        """Number of slices of a part with its halo."""
        return min(1.0, 1.0 / self.parts + 2.0 * PART_HALO / self.rows)

    @property
    def sinograms(self) -> float:
        """Areal densities and their covariance, in MB."""
        return (self.elements + self.elements * (self.elements + 1) / 2) * self.series

    def pass_seconds(self, stage: str) -> float:
        """Return the core seconds of the projections of a stage."""
        return (self.passes or {}).get(stage, 0.0) * self.projections / UPDATES_PER_S


Cost = tuple[float, float, float]
"""Largest memory in MB, new files in MB, core seconds."""


def _field(megabytes: float) -> float:
    """Return the memory of a field; zero if it is kept in a file."""
    return megabytes if megabytes <= FIELD_MB else 0.0


def _stack(memory_base: float, factor: float, disk: float) -> Callable[[Sizes], Cost]:
    """Return the cost of a stage that processes a stack in blocks."""

    def cost(size: Sizes) -> Cost:
        memory = memory_base + min(factor * size.series, STACK_MB) + 20 * size.stack_frame
        return memory, disk * size.series, STARTUP_S + size.series * MB / STACK_BYTES_PER_S / 3

    return cost


def normalize(size: Sizes) -> Cost:
    """Return the cost of normalising a series; large series are not loaded completely."""
    memory = 125 + 5 * size.series if size.series <= FIELD_MB else 500 + min(size.series, RAW_MB)
    return memory, 2 * size.series, 2 + size.series / 10


def align(size: Sizes) -> Cost:
    """Return the cost of an alignment."""
    total = size.n_series * size.series
    seconds = STARTUP_S + 2 + total / 3 + size.pass_seconds("align")
    if size.volume == 0:  # areal density: one tilt only
        return 270 + total + 15 * size.n_series * size.stack_frame, 2 * total, seconds
    fewer, frames, volume = aligned_size(size)
    seconds += (1 / fewer - 1) * size.pass_seconds("align")
    at_once = max(8.6 * frames + 1.25 * volume, 14 * min(size.series, FRAME_GROUP_MB))
    return 316 + 2.5 * _field(total) + at_once + 20 * size.area, 2 * total, seconds


def aligned_size(size: Sizes) -> tuple[float, float, float]:
    """Return the reduction of rays × voxels by binning for the alignment, and sizes in MB."""
    factor = 1.0
    while size.series > factor**2 * DRIVER_MB or size.volume > factor**3 * DRIVER_VOLUME_MB:
        factor *= 2
    return factor**3, size.series / factor**2, size.volume / factor**3


def decompose(size: Sizes) -> Cost:
    """Return the cost of the decomposition of every ray."""
    used = size.stack_frame / size.series if size.volume == 0 else 1.0
    memory = 257 + min(1.17 * used * (2 * size.n_series * size.series + size.sinograms), 800)
    return memory, size.sinograms, STARTUP_S + size.n_series * size.series / 40


def _in_fields(size: Sizes, in_memory: float, bound: float = SOLVED_MB) -> float:
    """Return the memory of a stage with large fields in files: slab and buffers of a solver."""
    return in_memory if size.volume <= FIELD_MB else min(in_memory, max(bound, 900 + 360 * size.area))


def _solved(size: Sizes, fields: float, bound: float = SOLVED_MB) -> float:
    """Return the memory of the solver."""
    return _in_fields(size, SOLVER_MB + size.sinograms + fields * size.volume, bound)


def _slab(size: Sizes) -> float:
    """Return the size of a slab of the volume: 24 million voxels, at least 48 rows."""
    return min(size.volume, max(96.0, 48 * size.area))


def reconstruct(size: Sizes) -> Cost:
    """Return the cost of reconstructing a composition, or of joining its parts."""
    if size.parts > 1:  # other jobs have solved the parts, which are joined here
        memory = _in_fields(size, 165 + (size.elements + 11) * size.volume)
        return memory, (size.elements + 3) * size.volume, STARTUP_S
    return (
        _solved(size, 21),
        (size.elements + 3) * size.volume,
        STARTUP_S + size.pass_seconds("reconstruct"),
    )


def reconstruct_part(size: Sizes) -> Cost:
    """Return the cost of one part."""
    return (
        _in_fields(size, SOLVER_MB + size.part * (1.5 * size.sinograms + 21 * size.volume)),
        (size.elements + 2) * size.volume / size.parts,
        STARTUP_S + size.part * size.pass_seconds("reconstruct_part"),
    )


def reconstruct_refine(size: Sizes) -> Cost:
    """Return the cost of solving one part again."""
    return (
        _in_fields(size, SOLVER_MB + size.part * (1.5 * size.sinograms + 21 * size.volume)),
        size.volume / size.parts,
        STARTUP_S + size.part * size.pass_seconds("reconstruct_refine"),
    )


def uncertainty(size: Sizes) -> Cost:
    """Return the cost of all replicates, or of their scatter only if other jobs solve them."""
    if size.parts > 1:
        memory = _in_fields(size, 157 + (18 + 0.5 * size.repeats) * size.volume)
        return memory, (1 + size.repeats / 2) * size.volume, STARTUP_S
    return (
        _solved(size, 21 + 2.4 * size.repeats, REPEATED_MB),
        (1 + size.repeats / 2) * size.volume,
        STARTUP_S + size.pass_seconds("uncertainty"),
    )


def segment_voids(size: Sizes) -> Cost:
    """Return the cost of several copies of slabs of 48 rows with their halo.

    Whole fields count as long as they are not kept in files.
    """
    slabs = min(810 * size.area, 8 * size.volume)
    fields = 8 * _field(size.volume) + 6 * _field(size.volume / 4)
    return 300 + slabs + fields, 3 * size.volume, 2 * STARTUP_S + 0.73 * size.volume


def measure_voids(size: Sizes) -> Cost:
    """Return the cost of measuring voids."""
    slabs = 6.2 * _slab(size)
    fields = 9.4 * _field(size.volume) + 2 * _field(size.volume / 4)
    return 280 + slabs + fields, 0.1, 2 * STARTUP_S + 0.55 * size.volume


def retrieve_phase(size: Sizes) -> Cost:
    """Return the cost of phase maps."""
    total = size.n_series * size.series
    return 200 + min(6 * total, STACK_MB), size.series, STARTUP_S + 0.7 * total


def reconstruct_structure(size: Sizes) -> Cost:
    """Return the cost of a volume from phase maps."""
    aligned = (size.passes or {}).get("reconstruct_structure", 0.0) > 1
    memory = 240 + _slices_at_once(size)
    if aligned:
        _, frames, volume = aligned_size(size)
        memory = max(memory, 286 + 8.6 * frames + 1.25 * volume)
    return memory, size.volume, STARTUP_S + size.pass_seconds("reconstruct_structure")


def _slices_at_once(size: Sizes) -> float:
    """Return the memory of slices and sinograms that are reconstructed at the same time."""
    return min(2 * size.volume + 3 * size.series, 1000.0)


def reconstruct_tomogram(size: Sizes) -> Cost:
    """Return the cost of a reconstructed volume."""
    at_once = (
        min(2 * size.series + 14 * size.volume, 1550.0) if size.total_variation else _slices_at_once(size)
    )
    return 200 + at_once, size.volume, STARTUP_S + size.pass_seconds("reconstruct_tomogram")


def register_branches(size: Sizes) -> Cost:
    """Return the cost of fields in the bounding box of the particle, and of slabs of it."""
    memory = 540 + 17 * _field(size.volume) + min(8.5 * size.volume, 450) + min(2.5 * size.volume, 800)
    return memory, 2.5 * size.volume, 30 + 0.6 * size.volume


def reconstruct_prepare(size: Sizes) -> Cost:
    """Return the cost of a first reconstruction of the whole field."""
    return _solved(size, 21), 1.25 * size.volume, STARTUP_S + size.pass_seconds("reconstruct_prepare")


def reconstruct_join(size: Sizes) -> Cost:
    """Return the cost of joining parts and finding the mode."""
    return _solved(size, 16), 1.25 * size.volume, STARTUP_S + size.volume / 10


def replicate(size: Sizes) -> Cost:
    """Return the cost of one replicate."""
    memory = _in_fields(size, SOLVER_MB + 2 * size.sinograms + 24 * size.volume, REPEATED_MB)
    return memory, size.volume / 2, STARTUP_S + size.pass_seconds("replicate")


def classify(size: Sizes) -> Cost:
    """Return the cost of classifying slab by slab."""
    return 180 + 8.4 * min(size.volume, CLASSES_MB), size.volume, 2 + size.volume / 20


def measure(size: Sizes) -> Cost:
    """Return the cost of measuring classes, domains and shells.

    Half volumes have a limit: the bounding box of the particle, and a fixed size.
    """
    memory = 226 + min(34 * size.volume, 200 + 2.6 * min(size.volume, 700.0))
    return memory, 0.1, STARTUP_S + size.volume / 5


def export_composition(size: Sizes) -> Cost:
    """Return the cost of the image of a composition."""
    memory = 91 + min(1.6 * (size.elements + 2) * size.volume, 850.0)
    return memory, (size.elements + 3) * size.volume, 2 + size.volume / 5


def export_areal_density(size: Sizes) -> Cost:
    """Return the cost of maps."""
    return 110 + 6 * size.series, 2 * size.series, STARTUP_S


def export_tomogram(size: Sizes) -> Cost:
    """Return the cost of the image of one volume."""
    return 93 + min(4.8 * size.volume, 800.0), 1.2 * size.volume, 2 + size.volume / 10


def decompose_states(size: Sizes) -> Cost:
    """Return the cost of the components of one element in every ray; blocks of tilts are read."""
    memory = 300 + 2.5 * _field(size.sinograms) + min(2.5 * size.n_series * size.series, 800)
    return memory, size.sinograms, STARTUP_S + size.n_series * size.series / 40


def reconstruct_states(size: Sizes) -> Cost:
    """Return the cost of density and valence of one element."""
    return (
        _solved(size, 23),
        (size.elements + 4) * size.volume,
        STARTUP_S + size.pass_seconds("reconstruct_states"),
    )


def uncertainty_states(size: Sizes) -> Cost:
    """Return the cost of all replicates of one element."""
    return (
        _solved(size, 21 + 2.4 * size.repeats, REPEATED_MB),
        (1 + size.repeats / 2) * size.volume,
        STARTUP_S + size.pass_seconds("uncertainty_states"),
    )


measure_states, export_states = measure, export_composition

normalize_stack = _stack(112, 5.2, 2)
register_stack = _stack(262, 6.3, 2)
fit_valence = _stack(256, 5.4, 0.2)


def measure_oxidation(size: Sizes) -> Cost:
    """Return the cost of the numbers of maps."""
    return 270 + 12 * size.n_series + 200 * size.stack_frame, 0.1, 12.0


def export_oxidation(size: Sizes) -> Cost:
    """Return the cost of the image of maps."""
    return 120 + 28 * size.n_series + 60 * size.stack_frame, 1.0, STARTUP_S


def normalize_map(size: Sizes) -> Cost:
    """Return the cost of reading one map, or of finding its elastic line."""
    return 200 + 30 * size.stack_frame, 2 * size.stack_frame, STARTUP_S + 2 * size.stack_frame


calibrate_map = normalize_map


def measure_scattering(size: Sizes) -> Cost:
    """Return the cost of the numbers of maps."""
    total = size.n_series * size.stack_frame
    return 280 + 40 * total, 2 * total + 1.0, 3 * STARTUP_S + 10 * total


def export_scattering(size: Sizes) -> Cost:
    """Return the cost of the image of maps."""
    return 130 + 40 * size.n_series * size.stack_frame, 4 * size.n_series * size.stack_frame + 1.0, STARTUP_S


def read_volume(size: Sizes) -> Cost:
    """Return the cost of copying a volume."""
    return 93 + min(2.55 * size.volume, 650.0), size.volume, 2 + size.volume / 20


def export_structure(size: Sizes) -> Cost:
    """Return the cost of the image of a volume and its voids."""
    return 93 + min(4.8 * size.volume, 800.0), 1.5 * size.volume, 2 + size.volume / 10


def export_meshes(size: Sizes) -> Cost:
    """Return the cost of meshes; the number of surface triangles grows with the area."""
    return 330 + 10 * size.volume ** (2 / 3), size.volume / 2, STARTUP_S + size.volume / 5


def lithiate(size: Sizes) -> Cost:
    """Return the cost of the lithium of a particle on at most ``solved`` MB of voxels."""
    return 300 + 4 * size.volume + 22 * size.solved, 8 * size.solved, 20 + 1.5 * size.solved


def solve_stress(size: Sizes) -> Cost:
    """Return the cost of the stress of some profiles and variants."""
    return 300 + 40 * size.solved, 13 * size.solved, 30 + 12 * size.solved


def measure_stress(size: Sizes) -> Cost:
    """Return the cost of the tables of stress."""
    return 300 + 32 * size.solved, 0.5, 20 + size.solved / 2


def export_mechanics(size: Sizes) -> Cost:
    """Return the cost of the image of stress."""
    return 150 + 12 * size.solved, 5 * size.solved, 10 + size.solved / 4


COSTS: Mapping[str, Callable[[Sizes], Cost]] = {
    row.name: globals()[row.cost or row.name] for row in STAGES.values() if row.cost != ""
}
"""Cost of one job of each stage. Times are conservative, order-of-magnitude estimates."""


def report_memory_mb(branches: Mapping[str, Sizes]) -> float:
    """Return the memory of a report with several branches."""
    figures = sum(REPORT_BASE_MB.get(branch, 20.0) for branch in branches)
    return 110 + figures + sum(min(4 * size.volume, 4.2 * _slab(size)) for size in branches.values())
