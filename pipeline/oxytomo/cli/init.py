"""``oxytomo init``: write a commented configuration for a folder of raw files."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from oxytomo.errors import ConfigError, InputError, StoreError

DESCRIPTION = """\
Read every file of a folder, group the files by sample, energy, edge and distance, find flats, darks, tables of
angles and reference spectra, and write a commented configuration. Comments mark each guess. On a terminal the
command asks for missing values (Enter leaves a gap). Without a terminal it never waits, and leaves the gaps."""
EXAMPLES = """\
examples:
  oxytomo init data --formula Li1.2Mn0.56Ni0.16Co0.08O2
  oxytomo init tiffs --pixel-nm 20 --angles 0 0.4 --branch tomogram --output pillar.yaml
  oxytomo init stacks references
  oxytomo inspect data                          one row per file: what init sees"""

BRANCHES = ("tomogram", "structure")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    add = parser.add_argument
    add("folder", type=Path, nargs="+", metavar="FOLDER", help="folders (or files) of one project")
    add(
        "--output",
        type=Path,
        default=None,
        metavar="my.yaml",
        help="file to write; default: name of the sample",
    )
    add("--formula", default=None, help="formula of the material, such as Li1.2Mn0.56Ni0.16Co0.08O2")
    add("--density-g-cm3", type=float, default=None, help="mass density of the material in g/cm³")
    add(
        "--pixel-nm",
        type=float,
        default=None,
        help="pixel (or voxel) size in nm, if the files do not contain it",
    )
    add(
        "--angles",
        type=float,
        nargs=2,
        default=None,
        metavar=("START", "STEP"),
        help="tilt angles in degrees",
    )
    add(
        "--branch",
        choices=BRANCHES,
        default=None,
        help="branch of a series without angles: tomogram for projections, structure for a volume",
    )
    add(
        "--sample-detector-mm",
        type=float,
        nargs="+",
        default=(),
        metavar="MM",
        help="distance from sample to detector, one value per distance",
    )
    add(
        "--source-sample-mm",
        type=float,
        nargs="+",
        default=(),
        metavar="MM",
        help="cone beam: distance from focus to sample, one value per distance",
    )
    add("--no-questions", action="store_true", help="never ask, not even on a terminal")


def run(arguments: argparse.Namespace) -> int:
    """Read the files, ask, and write the configuration; return the exit code."""
    from oxytomo.check.folder.propose import Answers, describe_proposal, propose, survey

    answers = Answers(
        formula=None if arguments.formula is None else _formula(arguments.formula),
        density_g_cm3=_positive(arguments.density_g_cm3, "--density-g-cm3"),
        pixel_nm=_positive(arguments.pixel_nm, "--pixel-nm"),
        angles=None if arguments.angles is None else tuple(arguments.angles),
        branch=arguments.branch,
        sample_detector_mm=tuple(arguments.sample_detector_mm),
        source_sample_mm=tuple(arguments.source_sample_mm),
    )
    if arguments.output is not None:
        _require_free(arguments.output)
    found = survey(arguments.folder)
    output = arguments.output or Path(f"{next(iter(found.samples), arguments.folder[0].resolve().name)}.yaml")
    _require_free(output)
    folder = output.resolve().parent
    proposal = propose(found, answers, folder=folder)
    if proposal.gaps and not arguments.no_questions and sys.stdin.isatty() and sys.stdout.isatty():
        answers = ask(answers, [gap.key for gap in proposal.gaps], _from_terminal)
        proposal = propose(found, answers, folder=folder)
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(proposal.text)
    except OSError as error:
        raise StoreError.of(error, str(output)) from error
    sys.stdout.write("\n".join(describe_proposal(proposal, output)) + "\n")
    return 0


def ask(answers: Any, gaps: list[str], line: Callable[[str], str]) -> Any:
    """Return the answers, completed by asking for the gaps; gaps without an answer remain.

    Parameters
    ----------
    answers : known settings
    gaps : keys of the settings that are missing
    line : function that shows a question and returns one line, empty without an answer
    """
    if "formula" in gaps:
        answers = replace(
            answers,
            formula=_asked(line, "formula of the material, e.g. Li1.2Mn0.56Ni0.16Co0.08O2: ", _formula),
        )
    if "pixel_nm" in gaps or "voxel_nm" in gaps:
        answers = replace(answers, pixel_nm=_asked(line, "pixel (voxel) size in nm: ", _number))
    if "angles" in gaps:
        answers = replace(
            answers, angles=_asked(line, "first tilt angle and step in degrees, e.g. 0 0.4: ", _two_numbers)
        )
    number = gaps.count("sample_detector_mm")
    if number:
        question = f"distances from sample to detector in mm, {number} of them: "
        distances = _asked(line, question, lambda text: _numbers(text, number))
        answers = replace(answers, sample_detector_mm=distances or ())
    if number and answers.sample_detector_mm:
        question = (
            f"cone beam: distances from focus to sample in mm, {number} of them (Enter for a parallel beam): "
        )
        answers = replace(
            answers, source_sample_mm=_asked(line, question, lambda text: _numbers(text, number)) or ()
        )
    return answers


def _from_terminal(question: str) -> str:
    """Ask on the terminal; end of input means no answer."""
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline()


def _asked(line: Callable[[str], str], question: str, read: Callable[[str], Any]) -> Any:
    """Ask until the answer is valid, at most three times; None without an answer."""
    for _ in range(3):
        text = line(question).strip()
        if not text:
            return None
        try:
            return read(text)
        except ValueError as error:
            question = f"{error}\n{question}" if "\n" not in question else question
    return None


def _formula(text: str) -> dict[str, float]:
    from oxytomo.config.elements import parse_formula

    atoms = parse_formula(text)
    if atoms is None:
        raise ConfigError(
            "formula",
            expected="chemical symbols, each with its number of atoms",
            got=f"'{text}'",
            fix="write e.g. Li1.2Mn0.56Ni0.16Co0.08O2, capital and small letters as in the periodic table",
        )
    return atoms


def _number(text: str) -> float:
    value = float(text.replace(",", "."))
    if not 0.0 < value < float("inf"):
        raise ValueError("a positive number is needed")
    return value


def _numbers(text: str, count: int) -> tuple[float, ...]:
    values = tuple(_number(word) for word in text.replace(";", " ").split())
    if len(values) != count:
        raise ValueError(f"{count} numbers are needed, with blanks between them")
    return values


def _two_numbers(text: str) -> tuple[float, float]:
    first, step = (float(word.replace(",", ".")) for word in text.split())
    return first, step


def _positive(value: float | None, name: str) -> float | None:
    if value is not None and not 0.0 < value < float("inf"):
        raise ConfigError(name, expected="a positive number", got=f"{value:g}", fix="correct it")
    return value


def _require_free(output: Path) -> None:
    if output.exists():
        raise InputError(
            str(output),
            expected="a name that is free",
            got="a file that is there",
            fix="give another --output, or move it",
        )
