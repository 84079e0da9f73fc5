"""One reader of results: arrays in nanometres, typed tables, numbers with intervals, and what it refuses."""

import json

import numpy as np
import pytest

from oxytomo.errors import InputError, PipelineError, StoreError
from oxytomo.io.tables import read_csv
from oxytomo.results import Number, Results, ResultsFolder, open_results
from oxytomo.results.columns import TABLE_TYPES
from oxytomo.results.tables import read_table
from tests.plugin_results import CRACK_Z, FINE_NM, FINE_SIDE, POOR, PORE, SIDE, VOXEL_NM, make_sample
from tests.stages.compared_samples import (
    write_composition_tables,
    write_oxidation_tables,
    write_structure_tables,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Give a sample with composition, structure and oxidation."""
    return open_results(make_sample(tmp_path_factory.mktemp("results") / "grain"))


def test_a_volume_lies_where_its_voxels_are(results):
    deviation = results.arrays["deviation"]
    assert deviation.dims == ("z", "y", "x")
    assert deviation.attrs["units"] == "1"
    assert deviation.coords["z"].attrs["units"] == "nanometer"
    np.testing.assert_allclose(deviation["x"], VOXEL_NM * np.arange(SIDE))
    place = dict(zip("zyx", (VOXEL_NM * np.array(POOR)).tolist(), strict=True))
    assert float(deviation.sel(place)) == pytest.approx(0.2)
    assert np.isnan(float(deviation[0, 0, 0]))


def test_arrays_are_read_when_asked_for(results):
    deviation = results.arrays["composition/deviation"]
    assert type(deviation.data).__module__.startswith("dask")
    assert float(deviation.max()) == pytest.approx(0.2)


def test_labels_have_names(results):
    phases = results.arrays["phases"]
    names = phases.attrs["class_names"]
    middle = phases[POOR]
    assert names[int(middle)] == "oxygen-poor"
    assert names[0] == "outside"


def test_elements_are_named_along_their_axis(results):
    density = results.arrays["density"]
    assert density.dims == ("element", "z", "y", "x")
    assert density["element"].values.tolist() == ["O", "Ni"]
    assert density.sel(element="O").shape == (SIDE, SIDE, SIDE)


def test_without_stage_stores_the_exported_image_is_read(results):
    # The structure of this sample has an image alone.
    voids = results.arrays["structure/voids"]
    np.testing.assert_allclose(voids["z"], FINE_NM * np.arange(FINE_SIDE))
    assert voids.attrs["class_names"][int(voids[PORE])] == "pore"
    assert int(voids[CRACK_Z].max()) == 2


def test_a_name_of_two_branches_needs_its_branch(results):
    with pytest.raises(
        PipelineError, match=r"particle: expected one of .*composition/particle, structure/part"
    ):
        results.arrays["particle"]
    assert "composition/particle" in results.arrays
    assert "nonsense" not in results.arrays
    assert results.arrays.get("nonsense") is None


def test_tables_have_types_units_and_definitions(results):
    domains = results.tables["domains"]
    assert domains["n_voxels"].dtype == np.int64
    assert domains["volume_nm3"].dtype == np.float64
    assert domains["touches_surface"].dtype == np.bool_
    assert set(domains["class"]) <= set(domains["class"].cat.categories)
    assert domains.attrs["units"]["depth_nm"] == "nanometer"
    assert domains.attrs["definitions"]["depth_nm"]


def test_every_table_that_a_stage_writes_has_all_its_columns_defined(results):
    for key in results.tables:
        table = results.tables[key]
        assert set(table.attrs["units"]) == set(table.columns), key


def test_numbers_are_those_of_the_files_with_their_intervals(tmp_path):
    write_composition_tables(tmp_path, 0.2)
    write_oxidation_tables(tmp_path, 3.4)
    write_structure_tables(tmp_path, 0.05)
    numbers = open_results(tmp_path).numbers
    poor = numbers["oxygen_poor"]
    assert (poor.value, poor.low, poor.high) == pytest.approx((20.0, 19.0, 21.0))
    assert poor.unit == "%"
    assert "above the reference" in poor.definition
    # 0.1 eV moves the valence by 0.06, which is one standard deviation beside 0.001 from noise.
    assert numbers["valence_Mn"].error == pytest.approx(np.hypot(0.06, 0.001))
    assert numbers["valence_step_Mn"].value == pytest.approx(0.4)
    assert numbers["valence_step_Mn"].error == pytest.approx(0.005)
    assert numbers["porosity"].value == pytest.approx(5.0)


def test_a_number_reads_as_text():
    assert str(Number(12.34, 10.9, 13.8, "%")) == "12.34 % (10.9 to 13.8 %)"
    assert str(Number(-0.5)) == "−0.5"
    assert str(Number(float("nan"), 0.0, 1.0)) == "unknown"
    assert Number(1.0).interval is None


def test_a_folder_of_samples_is_a_mapping(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        write_composition_tables(tmp_path / name, 0.1)
    (tmp_path / "logs").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    folder = open_results(tmp_path)
    assert isinstance(folder, ResultsFolder)
    assert list(folder) == ["a", "b"]
    assert isinstance(folder["a"], Results)
    with pytest.raises(KeyError, match="expected one of the samples of this sample: a, b"):
        folder["c"]
    assert "oxygen_poor" in folder._repr_html_()


@pytest.mark.parametrize("made", [False, True])
def test_nothing_is_one_line(tmp_path, made):
    place = tmp_path / "empty"
    if made:
        place.mkdir()
    with pytest.raises(InputError, match=r"expected the results of a sample.*Likely fix: give <results>/"):
        open_results(place)


def test_the_file_of_a_sample_stands_for_it(tmp_path):
    write_composition_tables(tmp_path, 0.1)
    assert open_results(tmp_path / "phases.json").numbers["oxygen_poor"].value == pytest.approx(10.0)


SHELLS = "shell,shell_outer,shell_inner,mean_deviation,standard_error\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "lacks a column: shell, shell_outer"),
        (SHELLS + "1,0,50,many,0.1\n", "numbers in the column mean_deviation"),
        (SHELLS + "1.5,0,50,0.1,0.1\n", "whole numbers in the column shell"),
        (SHELLS + "1,0,5_0,0.1,0.1\n", "numbers in the column shell_inner"),
        (SHELLS + "99999999999999999999,0,50,0.1,0.1\n", "whole numbers in the column shell"),
    ],
)
def test_a_table_of_other_columns_or_types_is_refused(tmp_path, text, said):
    path = tmp_path / "composition_shells.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=said):
        read_table(path, TABLE_TYPES["shells"])


def test_empty_cells_are_no_numbers_and_strange_columns_are_kept(tmp_path):
    path = tmp_path / "composition_shells.csv"
    path.write_text(SHELLS.strip() + ",mine,word\n1,0,50,,0.1,3.5,x\n", encoding="utf-8")
    table = read_table(path, TABLE_TYPES["shells"])
    assert np.isnan(table["mean_deviation"][0])
    assert table["mine"][0] == 3.5
    assert table["word"][0] == "x"


def test_flags_and_choices_hold_nothing_else(tmp_path):
    path = tmp_path / "pores.csv"
    for column, cell in (("touches_surface", "1"), ("open", "maybe")):
        path.write_text(f"pore,equivalent_diameter_nm,{column}\n1,50,{cell}\n", encoding="utf-8")
        with pytest.raises(StoreError, match=f"in the column {column}"):
            read_table(path, TABLE_TYPES["pores"])


def test_a_branch_without_fractions_is_refused(tmp_path):
    write_composition_tables(tmp_path, 0.1)
    content = json.loads((tmp_path / "phases.json").read_text())
    (tmp_path / "phases.json").write_text(json.dumps({"threshold": content["threshold"]}))
    with pytest.raises(StoreError, match=r"phases\.json: expected the numbers of the branch composition"):
        open_results(tmp_path).numbers["target"]


def test_the_page_for_notebooks_escapes_what_files_say(tmp_path):
    folder = tmp_path / "<b>bold"
    folder.mkdir()
    write_composition_tables(folder, 0.1)
    page = open_results(folder)._repr_html_()
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    assert "10 % (9 to 11 %)" in page


def test_the_page_says_what_is_wrong_instead_of_failing(tmp_path):
    write_composition_tables(tmp_path, 0.1)
    (tmp_path / "phases.json").write_text("{")
    assert "expected a JSON file" in open_results(tmp_path)._repr_html_()


def test_the_page_shows_numbers_warnings_arrays_and_tables(results):
    page = results._repr_html_()
    for text in ("composition/oxygen_poor", "composition/deviation", "composition/domains", "Warnings"):
        assert text in page


def test_warnings_and_definitions_name_their_branch(results):
    assert any(warning.startswith("composition: ") for warning in results.warnings)
    assert "reference" in results.definitions["deviation"]
    assert results.definitions["composition/depth"]


def test_provenance_names_stage_and_inputs(results):
    made = results.provenance["composition_reconstruct"]
    assert made.stage == "made"
    assert list(made.inputs) == ["raw_0"]


def test_a_changed_table_is_refused(tmp_path):
    from oxytomo.io.integrity import record_output
    from oxytomo.io.provenance import make_provenance

    write_composition_tables(tmp_path, 0.1)
    path = tmp_path / "composition_shells.csv"
    record_output(path, make_provenance("measure", 1, {}, {}))
    assert len(open_results(tmp_path).tables["composition_shells"]) == 2
    path.write_text(path.read_text().replace("0.02", "0.03"))
    with pytest.raises(StoreError, match="somebody has changed it"):
        open_results(tmp_path).tables["composition_shells"]


def test_a_link_is_refused(tmp_path):
    write_composition_tables(tmp_path, 0.1)
    other = tmp_path / "other.csv"
    (tmp_path / "composition_shells.csv").rename(other)
    (tmp_path / "composition_shells.csv").symlink_to(other)
    with pytest.raises(StoreError, match="got a link"):
        open_results(tmp_path)


def test_tables_say_what_the_files_say(results):
    text = read_csv(results.folder / "domains.csv")
    table = results.tables["domains"]
    assert list(table.columns) == list(text)
    np.testing.assert_array_equal(table["volume_nm3"], np.array(text["volume_nm3"], float))
    assert list(table["class"]) == text["class"]


def test_inspect_shows_numbers_with_intervals_and_what_columns_mean(tmp_path):
    from oxytomo.cli.inspect import describe_path

    (tmp_path / "stages" / "composition").mkdir(parents=True)
    write_composition_tables(tmp_path, 0.1)
    lines = describe_path(tmp_path)
    assert "  composition/oxygen_poor: 10 % (9 to 11 %)" in lines
    lines = describe_path(tmp_path / "composition_shells.csv")
    assert lines[0].endswith("table of 2 rows")
    assert "  mean_deviation [1] mean of (TM/O) / reference − 1" in lines
    (tmp_path / "phases.json").write_text('{"fractions": []}')
    assert any("composition/target: cannot be read" in line for line in describe_path(tmp_path))


def test_a_damaged_branch_leaves_the_others_readable(tmp_path):
    write_composition_tables(tmp_path, 0.1)
    write_structure_tables(tmp_path, 0.05)
    (tmp_path / "structure.json").write_text("{}")
    results = open_results(tmp_path)
    assert results.numbers["oxygen_poor"].value == pytest.approx(10.0)
    with pytest.raises(StoreError, match=r"structure\.json: expected the numbers of the branch structure"):
        results.numbers["porosity"]


def test_the_library_is_not_slow_to_start():
    """Opening results imports neither xarray nor pandas nor Dask; they come with the first array or table."""
    import subprocess
    import sys

    code = (
        "import sys; import oxytomo.results; "
        "print([name for name in ('xarray', 'pandas', 'dask.array') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
