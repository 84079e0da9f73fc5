"""Plans of a beam time: noise limits against known answers, settings, answers, page, and the command."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from oxytomo.cli import main
from oxytomo.composition.decomposition import decompose_weighted
from oxytomo.composition.detection import (
    Exposure,
    difference_variance,
    domain_sigma,
    element_attenuation,
    surface_dose_mgy,
)
from oxytomo.config import InstrumentSettings, load_config
from oxytomo.config.load_plan import Plan, load_plan
from oxytomo.config.plan import STAGES
from oxytomo.errors import ConfigError
from oxytomo.run import chain
from oxytomo.run.plan_answer import plan_facts
from oxytomo.run.planning import (
    BALLS_PX,
    Found,
    Task,
    scaled_fault,
    shares_found,
    simulate_task,
    simulated_scale,
    smallest_found,
    tasks_of,
)
from oxytomo.simulate.particles import particle_with_balls
from oxytomo.simulate.phantoms import true_deviation, voxel_means
from oxytomo.view.plan_page import plan_page, summary

LRTMO = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
ENERGIES = {"O": [525, 540], "Mn": [636, 645], "Co": [772, 788], "Ni": [846, 866]}
PLANNED: dict[str, Any] = {
    "particle_nm": 600,
    "pixel_nm": 10,
    "photons_per_pixel": 20000,
    "formula": LRTMO,
    "energies_ev": ENERGIES,
}


def written(tmp_path: Path, plan: dict[str, Any] | None = None, **beside: Any) -> Path:
    path = tmp_path / "beamtime.yaml"
    path.write_text(yaml.safe_dump({"plan": PLANNED if plan is None else plan, **beside}), encoding="utf-8")
    return path


def exposure(**changes: Any) -> Exposure:
    energies = np.array([energy for pair in ENERGIES.values() for energy in pair], np.float64)
    elements = tuple(ENERGIES)
    whole = Exposure(
        attenuation=element_attenuation(LRTMO, density_g_cm3=4.2, energies_ev=energies, elements=elements),
        atoms=np.array([LRTMO[name] for name in elements]),
        particle_nm=600.0,
        pixel_nm=10.0,
        psf_px=0.8,
        photons=2e4,
        n_tilt=131,
    )
    return dataclasses.replace(whole, **changes)


# --- noise


def test_variance_is_that_of_simulated_counts() -> None:
    scan, length, n = exposure(), 0.4, 20_000
    counts = np.random.default_rng(0).poisson(
        scan.photons * np.exp(-length * scan.attenuation.sum(axis=1)), (n, 8)
    )
    density = -np.log(counts / scan.photons).T.astype(np.float32)
    areal, _ = decompose_weighted(density, (1 / counts.T).astype(np.float32), scan.attenuation)
    metals = scan.atoms[1:] / scan.atoms[1:].sum()
    seen = (metals @ areal[1:] - areal[0]).var()
    # The standard error of a variance is sqrt(2 / n); the logarithm of counts of some thousands adds little.
    assert difference_variance(scan, np.array(length)) == pytest.approx(seen, rel=5 * np.sqrt(2 / n))


def test_sigma_of_a_domain_is_that_of_the_best_fit_to_simulated_rays() -> None:
    scan, diameter_nm = exposure(psf_px=0.0, n_tilt=10), 120.0
    pixels = np.arange(-8, 9) * 10.0
    squared = pixels[:, None] ** 2 + pixels[None, :] ** 2
    # Chords at the middles of the pixels: the means over pixels differ from them at the edge of the shadow alone.
    chord_um = 2 * np.sqrt(np.maximum(60.0**2 - squared, 0)) / 1e3
    variance = difference_variance(scan, 2 * np.sqrt(300.0**2 - squared) / 1e3)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(4000, 10, *chord_um.shape)) * np.sqrt(variance)
    fitted = (noise * chord_um / variance).sum(axis=(1, 2, 3)) / (10 * (chord_um**2 / variance).sum())
    assert domain_sigma(scan, diameter_nm) == pytest.approx(fitted.std(), rel=0.06)


def test_sigma_falls_with_photons_tilts_and_size_and_rises_with_blur() -> None:
    whole = domain_sigma(exposure(), 100.0)
    assert domain_sigma(exposure(photons=8e4), 100.0) == pytest.approx(whole / 2)
    assert domain_sigma(exposure(n_tilt=4 * 131), 100.0) == pytest.approx(whole / 2)
    assert domain_sigma(exposure(psf_px=2.0), 100.0) > 1.1 * whole
    assert (
        domain_sigma(exposure(), 50.0) > 3 * whole
    )  # chord² × area: the fourth power of the diameter, under the root
    # The same photons per area in smaller pixels tell as much of a domain that both resolve.
    finer = exposure(pixel_nm=5.0, photons=5e3, psf_px=1.6)
    assert domain_sigma(finer, 100.0) == pytest.approx(whole, rel=0.02)


def test_dose_is_energy_absorbed_per_mass() -> None:
    one = exposure(attenuation=np.array([[2.0]]), atoms=np.ones(1), photons=1e4, n_tilt=1, pixel_nm=100.0)
    dose = surface_dose_mgy(one, energies_ev=np.array([600.0]), density_g_cm3=4.0, efficiency=0.1)
    # 1e5 photons on (0.1 µm)² are 1e7 per µm², 600 eV each; 2 per µm of them in 4e-15 kg per µm³.
    assert dose == pytest.approx(1e7 * 600 * 1.602e-19 * 2 / 4e-15 / 1e6, rel=1e-3)


# --- settings


def test_a_plan_stands_alone_or_takes_from_a_sample(tmp_path: Path) -> None:
    alone = load_plan(written(tmp_path))
    assert alone.elements == ("O", "Mn", "Co", "Ni")
    assert (alone.density_g_cm3, alone.threshold) == (4.2, 0.05)
    edges = {
        name: {
            side: {"images": f"{name}_{side}.h5", "energy_ev": energy}
            for side, energy in zip(("pre", "post"), pair, strict=True)
        }
        for name, pair in ENERGIES.items()
    }
    composition = {"edges": edges, "formula": LRTMO, "density_g_cm3": 4.5, "threshold": 0.04}
    path = written(
        tmp_path,
        {key: PLANNED[key] for key in ("particle_nm", "pixel_nm", "photons_per_pixel")},
        samples={"a": {"composition": composition}},
    )
    taken = load_plan(path)
    assert taken.energies_ev == {name: tuple(pair) for name, pair in ENERGIES.items()}
    assert (taken.density_g_cm3, taken.threshold, taken.formula) == (4.5, 0.04, LRTMO)
    assert load_config(path).plan is not None  # the same file runs


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"particle_nm": -1}, "plan.particle_nm: expected greater than 0"),
        ({"pixels_nm": 10}, "did you mean 'pixel_nm'?"),
        ({"pixel_nm": 100}, "plan.pixel_nm: expected a particle of 12 pixels or more, got 6.0"),
        ({"formula": None}, "plan.formula: expected a value, got nothing"),
        ({"energies_ev": {}}, "plan.energies_ev: expected a value, got nothing"),
        ({"energies_ev": {"O": [525, 540]}}, "plan.energies_ev: expected O and one or more metals"),
        ({"energies_ev": {"O": [525, 540], "Fe": [700, 710]}}, "plan.energies_ev"),
        ({"faults": {"x": {"post_edge": {"Fe": 2}}}}, "plan.faults.x: expected elements of the plan"),
        ({"faults": {"x": {"stray": 2}}}, "plan.faults.x.stray: expected a fraction between 0 and 1"),
        ({"sample": "b"}, "plan.sample: expected a sample of this file, got 'b'"),
    ],
)
def test_wrong_plans_are_one_line(changes: dict[str, Any], part: str, tmp_path: Path) -> None:
    path = written(tmp_path, PLANNED | changes)
    with pytest.raises(ConfigError) as caught:
        load_plan(path)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_a_plan_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("samples: {}", encoding="utf-8")
    assert main(["plan", str(path), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "expected a section with particle_nm" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_energies_on_the_wrong_side_are_refused_before_anything_is_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, PLANNED | {"energies_ev": ENERGIES | {"Mn": [645, 636]}})
    assert main(["plan", str(path), "--output", str(tmp_path / "out")]) == 2
    assert "Likely fix: swap the pre and post files" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- simulations


def test_the_chain_in_one_process_has_the_stages_of_the_workflow() -> None:
    assert ("normalize", *chain.CHAIN, "export_composition") == STAGES["composition"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("particle_px", [12, 25, 40])
def test_the_domains_of_a_plan_find_their_places(seed: int, particle_px: int) -> None:
    sizes = [size for size in BALLS_PX if size <= 0.4 * particle_px]
    balls = [(size, sign * 0.1) for size in sizes for sign in (1, -1)]
    phantom = particle_with_balls(
        rng=np.random.default_rng(seed), formula=LRTMO, diameter_nm=float(particle_px), balls=balls
    )
    assert len(phantom.ellipsoids) == 1 + len(balls)


def test_balls_have_the_deviation_that_was_asked_for() -> None:
    wanted = [(120.0, 0.1), (120.0, -0.1), (60.0, 0.2)]
    phantom = particle_with_balls(
        rng=np.random.default_rng(0), formula=LRTMO, diameter_nm=500.0, balls=wanted
    )
    densities = voxel_means(phantom, pixel_nm=10.0, shape=(56, 56, 56), subsamples=2)
    solid = (densities[phantom.elements.index("Li")] > 0.5).astype(np.float32)
    deviation = true_deviation(densities, solid, elements=phantom.elements, formula=LRTMO)
    for ball, (size, value) in zip(phantom.ellipsoids[1:], sorted(wanted, reverse=True), strict=True):
        middle = tuple(round(c / 10.0 + 27.5) for c in ball.centre_nm)
        assert deviation[middle] == pytest.approx(value, abs=1e-3)
        assert 2 * ball.semi_axes_nm[0] == size


def test_the_simulation_has_as_many_photons_on_the_particle(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, PLANNED | {"particle_nm": 1200}))
    scale = simulated_scale(plan)
    assert 1200 / (10 * scale.pixel) == pytest.approx(40)
    planned = 131 / 10**2
    assert scale.tilts * scale.photons / (10 * scale.pixel) ** 2 == pytest.approx(planned)
    fault = InstrumentSettings(
        beam_shift_px=0.6, beam_length_px=3.0, psf_px=1.5, angle_rms_deg=0.2, stray=0.01
    )
    seen = scaled_fault(fault, plan)
    assert (seen.stray, seen.beam_length_px, seen.psf_px) == (0.01, 1.0, 0.5)
    # One shift per frame of the same structure: the variance of the mean over all tilts is that of the plan.
    assert (seen.beam_shift_px * scale.pixel) ** 2 / scale.tilts == pytest.approx(0.6**2 / 131)
    assert seen.angle_rms_deg**2 / scale.tilts == pytest.approx(0.2**2 / 131)
    small = simulated_scale(load_plan(written(tmp_path, PLANNED | {"particle_nm": 300, "tilts": 31})))
    assert (small.pixel, small.tilts, small.photons) == (1, 31, 1)


def quick(tmp_path: Path, **changes: Any) -> Plan:
    energies = {name: ENERGIES[name] for name in ("O", "Mn")}
    formula = {"Li": 1.0, "Mn": 1.0, "O": 2.0}
    small = {"particle_nm": 240, "tilts": 21, "photons_per_pixel": 2e5, "seeds": 1}
    return load_plan(
        written(tmp_path, PLANNED | {"energies_ev": energies, "formula": formula} | small | changes)
    )


@pytest.mark.slow
def test_one_simulation_finds_large_domains_and_a_fault_fakes_others(tmp_path: Path) -> None:
    plan = quick(tmp_path)
    clean, *_ = [task for task in tasks_of(plan) if task.question == "domains" and task.deviation > 0.15]
    found = simulate_task(plan, clean)
    assert found.error == ""
    # 24 px across, 20 % deviation, ten times the usual photons: domains of 6.5 px and more cannot be missed.
    large = [share for size, _, share in found.balls if size > 60]
    assert large
    assert min(large) > 0.5
    assert found.false < 0.02
    # Oxygen that is 20 % too strong everywhere is mended, a thick skin of carbonate is not.
    strong = dataclasses.replace(clean, fault=InstrumentSettings(post_edge={"O": 1.2}))
    assert simulate_task(plan, strong).false < 0.02
    skin = dataclasses.replace(clean, fault=InstrumentSettings(skin_nm=20.0))
    assert simulate_task(plan, skin).false > 0.1


def found_with(share: float, size: float, task: Task, false: float = 0.0) -> Found:
    return Found(task, ((size, 0.1, share),), false, 0.0, 1.0)


def test_smallest_is_the_one_from_which_on_all_are_found(tmp_path: Path) -> None:
    task = tasks_of(quick(tmp_path))[0]
    shares = {30.0: 0.9, 45.0: 0.1, 65.0: 0.8, 90.0: 0.9}
    runs = [found_with(share, size, task) for size, share in shares.items()]
    assert smallest_found(runs) == 65.0  # 30 nm was luck
    assert shares_found(runs)[45.0] == (0, 1)
    assert smallest_found([found_with(0.1, 90.0, task)]) is None


def test_answers_name_the_harm_and_what_was_not_simulated(tmp_path: Path) -> None:
    plan = quick(tmp_path)
    tasks = tasks_of(plan)
    assert tasks[0].deviation == pytest.approx(2 * plan.threshold)  # what all faults are compared with
    false = {"stray light of 2 %": 0.3, "skin of 10 nm Li2CO3": 0.04}
    found = [found_with(0.9, 90.0, task, false.get(task.name, 0.001)) for task in tasks[:-1]]
    facts = plan_facts(plan, found, tasks[-1:])
    verdicts = {row["name"]: row.get("verdict") for row in facts["faults"]}
    assert verdicts["stray light of 2 %"] == "severe"
    assert verdicts["skin of 10 nm Li2CO3"] == "harmful"
    assert verdicts["PVDF, 0 to 100 nm"] == "harmless"
    assert verdicts["none"] is None
    hidden = [
        dataclasses.replace(one, balls=((90.0, 0.1, 0.0),)) if one.task.name.startswith("PVDF") else one
        for one in found
    ]
    rows = plan_facts(plan, hidden, [])["faults"]
    assert {row["name"]: row.get("verdict") for row in rows}["PVDF, 0 to 100 nm"] == "hides domains"
    assert facts["simulated"]["not_simulated"] == ["dose 10 (particle 1)"]
    html, png = plan_page(facts, title="Plan", footer="")
    assert "There was no time for: dose 10" in html
    assert png.startswith(b"\x89PNG")
    assert any("stray light of 2 %" in sentence for sentence in summary(facts))
    json.dumps(facts, allow_nan=False)


def test_limits_say_what_photons_and_dose_the_threshold_needs(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path))
    facts = plan_facts(plan, [], [])
    for row in facts["noise_limit"]:
        ratio = row["photons_for_threshold"] / 20000
        few = row["photons_for_threshold"] == 100
        assert np.sqrt(ratio) * plan.threshold == pytest.approx(row["deviation"]) or few
        assert few == (row["deviation"] < plan.threshold * np.sqrt(100 / 20000))
    assert facts["faults"] == []
    thick = plan_facts(load_plan(written(tmp_path, PLANNED | {"particle_nm": 1500})), [], [])
    assert any("opaque" in warning and "Mn_post" in warning for warning in thick["warnings"])


@pytest.mark.slow
def test_the_command_answers_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = {
        **PLANNED,
        "particle_nm": 240,
        "tilts": 21,
        "seeds": 1,
        "minutes": 60,  # some seconds on a machine that is free
        "energies_ev": {name: ENERGIES[name] for name in ("O", "Mn")},
        "formula": {"Li": 1.0, "Mn": 1.0, "O": 2.0},
        "faults": {"much stray light": {"stray": 0.1}},
    }
    assert (
        main(["plan", str(written(tmp_path, plan)), "--output", str(tmp_path / "out"), "--cores", "1"]) == 0
    )
    said = capsys.readouterr()
    facts = json.loads((tmp_path / "out" / "plan.json").read_text(encoding="utf-8"))
    assert facts["simulated"]["runs"] == facts["simulated"]["of"] == 6
    assert "much stray light" in said.out
    assert "plan: 6 of 6" in said.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"plan.html", "plan.json", "plan.png"}
