"""Table of the stages, one row per stage.

Raise the version when the numbers of a stage change. The rules of the workflow, the plan of a run,
its costs and the groups of jobs on a cluster follow from these rows. The table is plain data, below
everything else, so that ``oxytomo.config`` can plan with it.
"""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

STRUCTURE, MECHANICS, STATES = "structure", "mechanics", "chemical_state"


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow; its module is ``oxytomo.stages.<room>.<name>``.

    Attributes
    ----------
    name, room, version : of the stage
    settings : name of its model in ``oxytomo.config``
    cost : name of the function in ``oxytomo.run.costs``; None for the name of the stage, empty if
        its rule sets the resources
    branches : branches that run the stage, its main branch first; empty: the whole sample, or all
        samples
    routes : in the branch ``structure``, the kinds of input that need it; empty: all
    jobs : unit of a job: series (elements, in the oxidation branch), elements that have several
        series, parts of a particle, replicates
    part_of : the stage whose work its jobs do, if that is divided into parts
    for_mode : needed only if the reference is the mode of the particle
    raw : raw files in its settings: series or volume, references, a mask, labels
    inputs : by key, the stores below ``stages/<branch>/`` that it reads, without suffix. ``{job}``
        is the store of the same job, a star all stores of a folder. ``structure:voids`` is in
        another branch, ``pristine:reconstruct`` in another sample; a name with a suffix is a
        product. Missing inputs are left out
    store : its store below ``stages/<branch>/``, one for each ``{job}``; empty if it writes only
        products
    products : by key, its products in the folder of the sample; in a branch other than its main
        branch, next to its store
    beside : further files that it writes
    threads : number of threads; None: from its cost
    group : short stages of one group share a job on a cluster
    package, extra : an optional package that it needs, and the extra that installs it; the stage is
        left out without the package
    """

    name: str
    room: str
    version: int
    settings: str
    cost: str | None = None
    branches: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    jobs: Literal["", "series", "elements", "parts", "replicates"] = ""
    part_of: str = ""
    for_mode: bool = False
    raw: Literal["", "source", "references", "mask", "labels"] = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    store: str = ""
    products: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    threads: int | None = None
    group: str = ""
    package: str = ""
    extra: str = ""

    def settings_model(self) -> Any:
        """Import the model of its settings."""
        return getattr(importlib.import_module("oxytomo.config.stage_settings"), self.settings)

    def load(self) -> ModuleType:
        """Import the module of the stage, with its ``run``."""
        return importlib.import_module(f"oxytomo.stages.{self.room}.{self.name}")

    @property
    def short_name(self) -> str:
        """Name in logs and messages; for several jobs, the folder of the stores."""
        return self.store.split("/")[0] if self.jobs else self.name


_COMPOSITION, _OXIDATION, _STRUCTURE = ("composition",), ("oxidation",), (STRUCTURE,)
_STATES = (STATES,)
_MECHANICS = (MECHANICS,)
_SCATTERING = ("scattering",)
_PROJECTED = ("projections", "phase_maps")

# fmt: off
_ROWS = (
    Stage("normalize", "shared", version=7, settings="NormalizeStage",
          branches=("composition", "areal_density", "tomogram", "chemical_state", "structure"),
          routes=_PROJECTED, jobs="series", raw="source", store="normalize/{job}.zarr", group="prepare"),
    Stage("align", "composition", version=9, settings="AlignStage",
          branches=("composition", "areal_density", "tomogram", "chemical_state"), inputs={"*": "normalize/*"},
          store="align.zarr", products={"table": "alignment.csv"}, group="prepare"),
    Stage("decompose", "composition", version=6, settings="DecomposeStage",
          branches=("composition", "areal_density"), raw="references",
          inputs={"align": "align", "near_edge_*": "oxidation:fit/*"}, store="decompose.zarr", group="prepare"),
    Stage("reconstruct_prepare", "composition", version=3, settings="ReconstructStepStage",
          branches=_COMPOSITION, part_of="reconstruct",
          inputs={"decompose": "decompose", "pristine": "pristine:reconstruct"},
          store="reconstruct_prepare.zarr"),
    Stage("reconstruct_part", "composition", version=3, settings="ReconstructPartStage",
          branches=_COMPOSITION, jobs="parts", part_of="reconstruct",
          inputs={"decompose": "decompose", "prepare": "reconstruct_prepare"},
          store="reconstruct_part/{job}.zarr"),
    Stage("reconstruct_join", "composition", version=3, settings="ReconstructStepStage",
          branches=_COMPOSITION, part_of="reconstruct", for_mode=True,
          inputs={"part_*": "reconstruct_part/*", "decompose": "decompose", "prepare": "reconstruct_prepare"},
          store="reconstruct_join.zarr"),
    Stage("reconstruct_refine", "composition", version=3, settings="ReconstructPartStage",
          branches=_COMPOSITION, jobs="parts", part_of="reconstruct", for_mode=True,
          inputs={"decompose": "decompose", "prepare": "reconstruct_prepare", "join": "reconstruct_join"},
          store="reconstruct_refine/{job}.zarr"),
    Stage("reconstruct", "composition", version=8, settings="ReconstructStage", branches=_COMPOSITION,
          inputs={"decompose": "decompose", "pristine": "pristine:reconstruct",
                  "prepare": "reconstruct_prepare", "part_*": "reconstruct_part/*",
                  "join": "reconstruct_join", "refine_*": "reconstruct_refine/*"},
          store="reconstruct.zarr"),
    Stage("replicate", "composition", version=3, settings="ReplicateStage", branches=_COMPOSITION,
          jobs="replicates", part_of="uncertainty",
          inputs={"decompose": "decompose", "reconstruct": "reconstruct"}, store="replicate/{job}.zarr"),
    Stage("uncertainty", "composition", version=11, settings="UncertaintyStage", branches=_COMPOSITION,
          inputs={"*": "replicate/*", "decompose": "decompose", "reconstruct": "reconstruct"},
          store="uncertainty.zarr"),
    Stage("classify", "composition", version=6, settings="ClassifyStage", branches=_COMPOSITION,
          inputs={"reconstruct": "reconstruct", "uncertainty": "uncertainty"}, store="classify.zarr",
          group="finish"),
    Stage("measure", "composition", version=11, settings="MeasureStage", branches=_COMPOSITION,
          inputs={"decompose": "decompose", "reconstruct": "reconstruct", "uncertainty": "uncertainty",
                  "classify": "classify"},
          products={"phases": "phases.json", "domains": "domains.csv", "shells": "composition_shells.csv"},
          group="finish"),
    Stage("export_composition", "composition", version=1, settings="ExportStage", branches=_COMPOSITION,
          inputs={"reconstruct": "reconstruct", "uncertainty": "uncertainty", "classify": "classify"},
          products={"store": "composition.ome.zarr"}, group="finish"),
    Stage("export_areal_density", "composition", version=1, settings="ExportStage",
          branches=("areal_density",), inputs={"decompose": "decompose", "align": "align"},
          products={"store": "areal_density.ome.zarr"}, group="prepare"),
    Stage("reconstruct_tomogram", "shared", version=4, settings="ReconstructTomogramStage",
          branches=("tomogram",), inputs={"align": "align"}, store="reconstruct.zarr", group="volume"),
    Stage("export_tomogram", "shared", version=1, settings="ExportStage", branches=("tomogram",),
          inputs={"reconstruct": "reconstruct"}, products={"store": "tomogram.ome.zarr"}, group="volume"),
    Stage("decompose_states", "chemical_state", version=3, settings="DecomposeStatesStage",
          branches=_STATES, jobs="elements", raw="references",
          inputs={"align": "align", "joint": "composition:decompose"},
          store="decompose/{job}.zarr"),
    Stage("reconstruct_states", "chemical_state", version=2, settings="ReconstructStatesStage",
          branches=_STATES, jobs="elements", inputs={"decompose": "decompose/{job}"},
          store="reconstruct/{job}.zarr"),
    Stage("uncertainty_states", "chemical_state", version=3, settings="UncertaintyStatesStage",
          branches=_STATES, jobs="elements",
          inputs={"decompose": "decompose/{job}", "reconstruct": "reconstruct/{job}"},
          store="uncertainty/{job}.zarr"),
    Stage("measure_states", "chemical_state", version=3, settings="MeasureStatesStage", branches=_STATES,
          inputs={"decompose_*": "decompose/*", "reconstruct_*": "reconstruct/*",
                  "uncertainty_*": "uncertainty/*"},
          store="measure.zarr",
          products={"states": "chemical_state.json", "shells": "chemical_state_shells.csv",
                    "domains": "chemical_state_domains.csv",
                    "profiles": "chemical_state_profiles.csv",
                    "white_lines": "chemical_state_white_lines.csv"},
          group="states"),
    Stage("export_states", "chemical_state", version=3, settings="ExportStage", branches=_STATES,
          inputs={"reconstruct_*": "reconstruct/*", "uncertainty_*": "uncertainty/*", "measure": "measure"},
          products={"store": "chemical_state.ome.zarr"}, group="states"),
    Stage("normalize_stack", "oxidation", version=2, settings="NormalizeStackStage", branches=_OXIDATION,
          jobs="series", raw="source", store="normalize/{job}.zarr", group="stack"),
    Stage("register_stack", "oxidation", version=3, settings="RegisterStackStage", branches=_OXIDATION,
          jobs="series", inputs={"normalize": "normalize/{job}"}, store="register/{job}.zarr",
          group="stack"),
    Stage("fit_valence", "oxidation", version=5, settings="FitValenceStage", branches=_OXIDATION,
          jobs="series", raw="references", inputs={"register": "register/{job}"}, store="fit/{job}.zarr",
          group="stack"),
    Stage("measure_oxidation", "oxidation", version=4, settings="MeasureOxidationStage",
          branches=_OXIDATION, inputs={"fit_*": "fit/*", "register_*": "register/*"}, store="measure.zarr",
          products={"shells": "oxidation_shells.csv", "particles": "oxidation_particles.csv",
                    "profiles": "oxidation_profiles.csv", "white_lines": "oxidation_white_lines.csv",
                    "summary": "oxidation.json"},
          group="maps"),
    Stage("export_oxidation", "oxidation", version=3, settings="ExportStage", branches=_OXIDATION,
          inputs={"fit_*": "fit/*", "measure": "measure"}, products={"store": "oxidation.ome.zarr"},
          group="maps"),
    Stage("read_volume", "structure", version=2, settings="ReadVolumeStage", branches=_STRUCTURE,
          routes=("volume",), raw="source", store="volume.zarr"),
    Stage("retrieve_phase", "structure", version=1, settings="RetrievePhaseStage", branches=_STRUCTURE,
          routes=_PROJECTED, inputs={"*": "normalize/*"}, store="retrieve_phase.zarr"),
    Stage("reconstruct_structure", "structure", version=3, settings="ReconstructStructureStage",
          branches=_STRUCTURE, routes=_PROJECTED, inputs={"retrieve_phase": "retrieve_phase"},
          store="volume.zarr"),
    Stage("segment_voids", "structure", version=5, settings="SegmentVoidsStage", branches=_STRUCTURE,
          raw="mask", inputs={"volume": "volume"}, store="voids.zarr"),
    Stage("measure_voids", "structure", version=6, settings="MeasureVoidsStage", branches=_STRUCTURE,
          inputs={"volume": "volume", "voids": "voids"},
          products={"pores": "pores.csv", "cracks": "cracks.csv", "structure": "structure.json"}),
    Stage("export_structure", "structure", version=1, settings="ExportStage", branches=_STRUCTURE,
          inputs={"volume": "volume", "voids": "voids"}, products={"store": "structure.ome.zarr"}),
    Stage("export_meshes", "structure", version=2, settings="ExportStage", branches=_STRUCTURE,
          inputs={"voids": "voids", "pores": "pores.csv", "cracks": "cracks.csv"},
          products={"meshes": "meshes"}, threads=1, package="pyvista", extra="view"),
    Stage("lithiate", "mechanics", version=3, settings="LithiateStage", branches=_MECHANICS, raw="labels",
          inputs={"voids": "structure:voids"}, store="lithiate.zarr"),
    Stage("solve_stress", "mechanics", version=2, settings="SolveStressStage", branches=_MECHANICS,
          inputs={"lithiate": "lithiate"}, store="solve_stress.zarr"),
    Stage("measure_stress", "mechanics", version=3, settings="MeasureStressStage", branches=_MECHANICS,
          inputs={"lithiate": "lithiate", "solve_stress": "solve_stress"},
          products={"voids": "stress_at_voids.csv", "fronts": "crack_fronts.csv",
                    "shells": "stress_shells.csv", "time": "stress_time.csv", "summary": "mechanics.json"}),
    Stage("export_mechanics", "mechanics", version=1, settings="ExportStage", branches=_MECHANICS,
          inputs={"lithiate": "lithiate", "solve_stress": "solve_stress"},
          products={"store": "mechanics.ome.zarr"}),
    Stage("normalize_map", "scattering", version=2, settings="NormalizeMapStage", branches=_SCATTERING,
          jobs="series", raw="source", store="normalize/{job}.zarr", group="scattering"),
    Stage("calibrate_map", "scattering", version=2, settings="CalibrateMapStage", branches=_SCATTERING,
          jobs="series", inputs={"normalize": "normalize/{job}"}, store="calibrate/{job}.zarr",
          group="scattering"),
    Stage("measure_scattering", "scattering", version=2, settings="MeasureScatteringStage",
          branches=_SCATTERING, raw="references", inputs={"calibrate_*": "calibrate/*"},
          store="measure.zarr",
          products={"yields": "scattering_yields.csv", "cuts": "scattering_cuts.csv",
                    "valences": "scattering_valences.csv", "summary": "scattering.json"},
          threads=1, group="scattering"),
    Stage("export_scattering", "scattering", version=1, settings="ExportStage", branches=_SCATTERING,
          inputs={"calibrate_*": "calibrate/*", "measure": "measure"},
          products={"store": "scattering.ome.zarr"}, threads=1, group="scattering"),
    Stage("register_branches", "shared", version=4, settings="RegisterBranchesStage",
          inputs={"reconstruct": "composition:reconstruct", "uncertainty": "composition:uncertainty",
                  "classify": "composition:classify", "voids": "structure:voids",
                  "lithiate": "mechanics:lithiate", "solve_stress": "mechanics:solve_stress"},
          store="register_branches.zarr",
          products={"branches": "branches.json", "distances": "voids_and_domains.csv",
                    "neighbourhoods": "void_neighbourhoods.csv", "stress": "stress_and_domains.csv"},
          threads=4),
    Stage("report", "shared", version=12, settings="ReportStage", cost="",
          products={"report": "report.html"}, threads=2),
    Stage("comparison", "shared", version=3, settings="ComparisonStage", cost="",
          products={"report": "comparison.html"},
          beside=("comparison_values.csv", "comparison_groups.csv", "comparison_differences.csv", "comparison_shells.csv"),
          threads=1),
)
# fmt: on
STAGES: dict[str, Stage] = {stage.name: stage for stage in _ROWS}


def stage_spec(stage: str, settings: dict[str, Any]) -> str:
    """Return the JSON input of a stage; the stage runs again if it changes."""
    return json.dumps({"version": STAGES[stage].version, "settings": settings}, sort_keys=True)
