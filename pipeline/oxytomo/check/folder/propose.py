"""Proposal for a folder: a commented configuration, its guesses and its gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oxytomo.check.folder.branches import Choice, choose
from oxytomo.check.folder.grouping import RawSeries, Survey, group
from oxytomo.check.folder.look import FileFacts, look_at, spread
from oxytomo.check.folder.page import Gap, Page, formula_text, quoted
from oxytomo.check.folder.pixels import judge
from oxytomo.config import Branch
from oxytomo.errors import InputError, printable

EXAMPLE_FORMULA = "{Li: 1.2, Mn: 0.56, Ni: 0.16, Co: 0.08, O: 2.0}"
_MOST_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Values from the user that are missing in the files; None or empty if not given."""

    formula: dict[str, float] | None = None
    density_g_cm3: float | None = None
    pixel_nm: float | None = None
    angles: tuple[float, float] | None = None
    branch: Branch | None = None
    sample_detector_mm: tuple[float, ...] = ()
    source_sample_mm: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A configuration as text, its gaps and guesses, and a summary of the files."""

    text: str
    gaps: tuple[Gap, ...]
    guesses: tuple[str, ...]
    found: tuple[str, ...]


def survey(folders: Sequence[Path]) -> Survey:
    """Read folders and group their files.

    Raises
    ------
    InputError
        Where there are no raw frames and no volume in them.
    """
    files = look_at(folders)
    found = group(files, folders[0])
    if not found.samples and not found.volumes:
        raise InputError(
            ", ".join(map(str, folders)),
            expected="raw frames or a volume",
            got=_in_words(files),
            fix="name the folder with the raw frames"
            + (", and this one behind it: oxytomo init RAW REFERENCES" if found.spectra else ""),
        )
    return found


def propose(found: Survey, answers: Answers, *, folder: Path) -> Proposal:
    """Return a configuration for the files.

    Parameters
    ----------
    found : series, spectra and volumes
    answers : values from the user
    folder : the folder that the configuration will be in, which its paths start from
    """
    page = Page(folder)
    said: list[str] = []
    page.note(
        0,
        "Written by `oxytomo init`. What was guessed says so: read these lines. FILL IN marks what the files do not say.",
    )
    page.note(0, "Then: oxytomo check THIS_FILE, and oxytomo run THIS_FILE.")
    page.put(0, "results: results")
    page.put(0, "samples:")
    unused: list[str] = []
    for name, series in found.samples.items():
        choices, left = choose(series, found.spectra, answers.branch)
        unused += [f"{one.label}: no place found for it beside the other files of {name}" for one in left]
        if not choices:
            continue
        page.put(1, f"{quoted(name)}:")
        for choice in choices:
            said.append(f"{name}: {_summary(choice)}")
            _branch(page, name, choice, answers)
    for file in found.volumes:
        name = _free(file, found)
        page.put(1, f"{quoted(name)}:")
        choice = Choice(branch="structure", route="volume", volume=file.path)
        said.append(f"{name}: structure from the volume {file.path.name}")
        _branch(page, name, choice, answers)
    unused += [
        f"{file.path.name}: {file.role}{': ' * bool(file.remark)}{file.remark}" for file in found.unused
    ]
    if unused:
        page.note(0, "Not used:")
    for line in unused[:_MOST_LISTED]:
        page.note(0, f"  {line}")
    if len(unused) > _MOST_LISTED:
        page.note(0, f"  and {len(unused) - _MOST_LISTED} more; see oxytomo inspect FOLDER")
    if not said:
        got = "; ".join(unused[:2]) or "nothing that makes a branch"
        raise InputError(
            str(folder), expected="series that make a branch", got=got, fix="say which with --branch"
        )
    return Proposal(text=page.text, gaps=tuple(page.gaps), guesses=tuple(page.guesses), found=tuple(said))


def _in_words(files: Sequence[FileFacts]) -> str:
    """Return how many files of each role there are."""
    counts: dict[str, int] = {}
    for file in files:
        counts[file.role] = counts.get(file.role, 0) + 1
    problems = [f"{file.path.name} ({file.remark})" for file in files if file.role == "unreadable"][:1]
    words = [
        f"{number} {'reference spectra' if role == 'spectrum' else role}" for role, number in counts.items()
    ]
    return ", ".join(words + problems) or "no files"


def _free(file: FileFacts, found: Survey) -> str:
    from oxytomo.check.folder.names import sample_name

    name = sample_name(file.hints.sample, file.path.parent, found.folder)
    return f"{name}_volume" if name in found.samples else name


def _summary(choice: Choice) -> str:
    """Return a branch in one line."""
    keys = list(dict.fromkeys(key.partition(".")[0] for key, _ in choice.entries))
    series = choice.entries[0][1] if choice.entries else None
    frames = "" if series is None else f", {_frames(series)} of {series.frame[0]} × {series.frame[1]}"
    tilts = "" if series is None or len(series.tilt_deg) < 2 else f", {spread(series.tilt_deg)}°"
    what = {
        "edges": f"pairs below and on the edges of {', '.join(keys)}",
        "elements": f"maps of {', '.join(keys)}",
        "stacks": f"stacks of {', '.join(keys)}",
        "projections": f"projections at {len(keys)} distances",
        "volume": "a volume",
        "source": "one tilt series",
    }[choice.route]
    return f"{choice.branch} from {what}{frames}{tilts}"


def _frames(series: RawSeries) -> str:
    return f"{series.n_frame} frame{'s' if series.n_frame != 1 else ''}"


def _branch(page: Page, sample: str, choice: Choice, answers: Answers) -> None:
    """Write one branch of a sample."""
    place = f"samples.{sample}.{choice.branch}"
    page.put(2, f"{choice.branch}:")
    for guess in choice.guesses:
        page.guess(3, guess)
    if choice.route == "source":
        _source(page, 3, "source", choice.entries[0][1], answers, place)
    elif choice.route == "volume":
        _volume(page, choice, answers, place)
    elif choice.route == "projections":
        _projections(page, choice, answers, place)
    else:
        page.put(3, f"{choice.route}:")
        for number, (key, series) in enumerate(choice.entries):
            element, _, side = key.partition(".")
            if side and (number == 0 or choice.entries[number - 1][0].partition(".")[0] != element):
                page.put(4, f"{quoted(element)}:")
            _source(page, 5 if side else 4, side or quoted(element), series, answers, f"{place}.{choice.route}.{key}",
                    stack=choice.route == "stacks", signal=choice.route == "elements")  # fmt: skip
    if choice.route == "edges":
        _material(page, answers, place)
    elif answers.formula is not None and choice.route != "projections":
        page.note(3, "The formula that was given is not used by this branch.")
    if choice.route == "elements":
        page.guess(
            3,
            "reference: mode, as counts that are not calibrated are compared with the particle's own most frequent ratio",
        )
        page.put(3, "reference: mode")
    if choice.route == "stacks":
        _references(page, choice, place)


def _material(page: Page, answers: Answers, place: str) -> None:
    """Write formula and density of the material."""
    question = (
        "the formula of the material; TM/O is compared with it (also as text: Li1.2Mn0.56Ni0.16Co0.08O2)"
    )
    if answers.formula is None:
        page.gap(3, "formula", EXAMPLE_FORMULA, question, place)
    else:
        page.put(3, f"formula: {formula_text(answers.formula)}")
    if answers.density_g_cm3 is None:
        page.note(3, "Mass density in g/cm³: 4.2 (a layered oxide) unless you give that of your material.")
        page.put(3, "# density_g_cm3: 4.2")
    else:
        page.put(3, f"density_g_cm3: {answers.density_g_cm3:g}")


def _references(page: Page, choice: Choice, place: str) -> None:
    """Write the reference spectra of each element."""
    known = {element: spectra for element, spectra in (choice.spectra or {}).items() if spectra}
    if known:
        page.put(3, "references:")
    for element, _ in choice.entries:
        spectra = known.get(element)
        if spectra:
            written = ", ".join(f'"{valence:g}": {quoted(page.path(path))}' for valence, path in spectra)
            page.put(4, f"{quoted(element)}: {{{written}}}")
            continue
        page.guess(
            4 if known else 3,
            f"no reference spectra of {element} among the files: its map is the energy of the white line. For a valence, "
            "give spectra of two valences or more (XDI, CSV, Athena)",
        )
        example = '{"2": refs/first.csv, "3": refs/second.csv}'
        if known:
            page.put(4, f"# {quoted(element)}: {example}")
        else:
            page.put(3, f"# references: {{{quoted(element)}: {example}}}")


def _volume(page: Page, choice: Choice, answers: Answers, place: str) -> None:
    """Write a volume and its voxel."""
    series = choice.entries[0][1] if choice.entries else None
    paths = series.paths if series is not None else (choice.volume,) if choice.volume is not None else ()
    page.put(3, f"volume: {page.paths(paths)}")
    _voxel(
        page, answers, None if series is None else series.pixel_nm, place, "the files say so of their pixels"
    )


def _voxel(page: Page, answers: Answers, known: float | None, place: str, why: str) -> None:
    if known is not None:
        page.guess(3, f"voxel of {known:.6g} nm: {why}")
        page.put(3, f"voxel_nm: {known:.6g}")
    elif answers.pixel_nm is not None:
        page.put(3, f"voxel_nm: {answers.pixel_nm:.6g}")
    else:
        page.gap(3, "voxel_nm", "20", "the edge of a voxel in nm", place)


def _projections(page: Page, choice: Choice, answers: Answers, place: str) -> None:
    """Write the projections of a phase-contrast scan, one entry per distance."""
    page.put(3, "projections:")
    for number, (_, series) in enumerate(choice.entries):
        first = len(page.lines)
        _source(
            page, 5, "images", series, answers, f"{place}.projections {number + 1}", entry=True, pixel=False
        )
        page.lines[first] = "  " * 4 + "- " + page.lines[first].lstrip()
        for key, values, what in (
            ("sample_detector_mm", answers.sample_detector_mm, "distance from sample to detector in mm"),
            ("source_sample_mm", answers.source_sample_mm, "cone beam: distance from focus to sample in mm"),
        ):
            if number < len(values):
                page.put(5, f"{key}: {values[number]:g}")
            elif key == "sample_detector_mm":
                page.gap(5, key, "1167.0", f"{what}, for {series.label}", f"{place}.projections {number + 1}")
            elif not values:
                page.note(5, f"{what}; leave it out for a parallel beam")
                page.put(5, f"# {key}: 33.0")
    pixels = [series.pixel_nm for _, series in choice.entries if series.pixel_nm is not None]
    _voxel(
        page,
        answers,
        min(pixels, default=None),
        place,
        "the smallest pixel of the files, in the object plane",
    )
    if answers.formula is not None and answers.density_g_cm3 is not None:
        page.put(3, f"formula: {formula_text(answers.formula)}")
        page.put(3, f"density_g_cm3: {answers.density_g_cm3:g}")
    else:
        page.note(
            3,
            "A sample of one material: its formula with density makes the lowest frequencies of the phase known.",
        )
        page.put(3, f"# formula: {EXAMPLE_FORMULA}")
        page.put(3, "# density_g_cm3: 4.2")


def _source(
    page: Page, level: int, key: str, series: RawSeries, answers: Answers, place: str, *,
    stack: bool = False, signal: bool = False, entry: bool = False, pixel: bool = True,
) -> None:  # fmt: skip
    """Write one series: a path if its files contain everything, else a mapping."""
    inner = Page(page.folder)
    inner.put(0, f"images: {page.paths(series.paths)}")
    for guess in series.guesses:
        inner.guess(0, guess)
    for name, paths in (("flat", series.flat), ("dark", series.dark)):
        if paths:
            inner.put(0, f"{name}: {page.paths(paths)}")
    if not stack:
        _angles(inner, page, series, answers, place)
    elif series.energies is not None:
        inner.put(0, f"energies: {quoted(page.path(series.energies))}")
    elif not series.energy_ev or series.files[0].energy_named:
        known = f" (the names say {spread(series.energy_ev)} eV)" if series.energy_ev else ""
        question = f"a table with one energy per frame, {series.n_frame} of them{known}"
        inner.gap(0, "energies", "energies.csv", question, place)
    if series.files[0].energy_named and not stack:
        inner.guess(0, "energy from the name of the file")
        inner.put(0, f"energy_ev: {series.energy_ev[0]:g}")
    _pixels(inner, series, place, signal=signal, stack=stack)
    if pixel and series.pixel_nm is None:
        if answers.pixel_nm is not None:
            inner.put(0, f"pixel_nm: {answers.pixel_nm:.6g}")
        elif not stack:
            inner.gap(0, "pixel_nm", "20", "the pixel size in the object plane in nm", place)
    if len(inner.lines) == 1 and not entry:
        page.put(level, f"{key}: {page.paths(series.paths)}")
        return
    if not entry:
        page.put(level, f"{key}:")
    shift = 0 if entry else 1
    before = len(page.lines)
    page.lines += ["  " * (level + shift) + line for line in inner.lines]
    page.gaps += [Gap(gap.key, gap.place, gap.question, before + gap.line) for gap in inner.gaps]
    page.guesses += inner.guesses


def _angles(inner: Page, page: Page, series: RawSeries, answers: Answers, place: str) -> None:
    """Write the source of the tilt angles, unless the files contain them."""
    if series.angles is not None:
        inner.put(0, f"angles: {quoted(page.path(series.angles))}")
        if series.angles_range is not None:
            inner.put(0, f"angles_range: [{series.angles_range[0]}, {series.angles_range[1]}]")
    elif not series.tilt_deg and series.n_frame > 1:
        if answers.angles is not None:
            inner.put(0, f"angles: {{start: {answers.angles[0]:g}, step: {answers.angles[1]:g}}}")
            return
        step = 180.0 / max(1, series.n_frame - 1)
        question = f"the tilt angles of {_frames(series)}: a table, or start and step (here: 180°, both ends included)"
        inner.gap(0, "angles", f"{{start: 0, step: {step:.6g}}}", question, place)


def _pixels(inner: Page, series: RawSeries, place: str, *, signal: bool, stack: bool) -> None:
    """Write the quantity of the pixels, if it is not clear."""
    first = series.files[0]
    found = judge(series)
    if signal:
        if first.quantity != "signal":
            inner.guess(0, "maps of elements are signals")
            inner.put(0, "quantity: signal")
        return
    if found.quantity is not None:
        inner.guess(0, found.why)
        inner.put(0, f"quantity: {found.quantity}")
        if found.offset:
            inner.put(0, f"offset: {found.offset:g}")
        if first.format == "MRC":
            inner.note(
                0,
                "Electron microscopes often have the tilt axis along the rows of the frames; where it does:",
            )
            inner.put(0, "# tilt_axis: horizontal")
    elif (
        not series.n_flat
        and not series.flat
        and not stack
        and first.quantity in ("counts", "signal")
        and series.is_tilted
    ):
        inner.gap(
            0,
            "flat",
            "flat.tif",
            "flat frames (empty beam), or 'quantity: transmission' or 'optical_density'",
            place,
        )


def describe_proposal(proposal: Proposal, output: Path) -> list[str]:
    """Return findings, guesses and gaps as lines for a terminal."""
    lines = [f"found: {line}" for line in proposal.found]
    lines += [f"guess: {guess}" for guess in dict.fromkeys(proposal.guesses)]
    lines += [f"fill in: line {gap.line}: {gap.key}: {gap.question}" for gap in proposal.gaps]
    lines.append(f"wrote {output}")
    lines.append(f"next: {'fill in what is missing, then ' if proposal.gaps else ''}oxytomo check {output}")
    return [printable(line) for line in lines]
