"""Stage ``register_branches``: positions of voids relative to domains of one particle."""

from pathlib import Path

from oxytomo.align import branches
from oxytomo.align.rigid import register_rigid
from oxytomo.config.stage_settings import RegisterBranchesStage as Settings
from oxytomo.io.branch_stores import placed_stress, placed_voids, segmented, solid_of_composition
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.branches import VoidsAndDomains, compare_voids_and_domains
from oxytomo.measure.definitions import NEIGHBOURHOOD_DEFINITIONS as DEFINITIONS
from oxytomo.measure.stress_domains import STRESS_DEFINITIONS, no_stress, stress_in_domains
from oxytomo.slabs import window
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Register ``voids`` to ``reconstruct``, compare voids and stress with the classes, write tables."""
    stores = {name: read_store(path) for name, path in inputs.items()}
    particle = stores["reconstruct"].field("particle")
    fixed, structure = solid_of_composition(stores["reconstruct"]), segmented(stores["voids"])
    moving = branches.structure_solid(structure.particle, structure.void, structure.voxel_nm)
    fit = register_rigid(fixed, moving, progress=context.progress("orientations"))
    whole, same = branches.placement_of(fit, moving, fixed, particle.shape), fit.verdict == "same_particle"
    box = branches.compared_box(fixed, whole, structure.particle)
    found, in_domains = VoidsAndDomains(), no_stress()
    with scratch_fields(outputs["store"]):
        placed = branches.placed_structure(structure, whole.within(box), compared=same)
        registration = branches.registration_record(fit, window(particle, box), placed["particle"])
        if same:
            both = placed_voids(stores, placed, box, structure.n_pores)
            found = compare_voids_and_domains(both, **settings.model_dump())
            if "solve_stress" in stores:
                at = (stores["lithiate"], stores["solve_stress"], structure.voxel_nm, whole.within(box))
                options = {"placements": settings.placements, "seed": settings.seed}
                in_domains = stress_in_domains(placed_stress(*at), both, **options)
        arrays = {
            name: NamedArray(branches.in_whole(array, box, whole.shape), ("z", "y", "x"), "1")
            for name, array in placed.items()
        }
        attributes = {
            "pixel_nm": whole.onto_nm,
            "verdict": fit.verdict,
            "structure_to_composition": branches.transform_of(fit),
            "n_pores": stores["voids"].attributes["n_pores"],
        }
        write_store(outputs["store"], arrays, provenance=context.provenance(inputs), attributes=attributes)
    meaning = branches.MEANINGS[fit.verdict]
    verdict = {"verdict": fit.verdict, "meaning": meaning}
    definitions = {"definitions": branches.TRANSFORM_DEFINITIONS | DEFINITIONS | STRESS_DEFINITIONS}
    write_csv(outputs["distances"], {name: list(column) for name, column in found.distances.items()})
    write_csv(outputs["neighbourhoods"], {name: list(column) for name, column in found.beside.items()})
    write_csv(outputs["stress"], {name: list(column) for name, column in in_domains.items()})
    write_json(outputs["branches"], verdict | registration | found.numbers | definitions)
    context.log(
        f"{meaning} (stands out by {fit.margin:.1f}, correlation {fit.correlation:.3f}, "
        f"± {fit.rotation_error_deg:.2f}°, ± {fit.translation_error_nm:.1f} nm)"
    )
