"""Reference spectra of a fit from their files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from oxytomo.arrays import Spectrum
from oxytomo.io.spectra import read_spectrum
from oxytomo.oxidation.spectra import Reference


class SpectrumFile(Protocol):
    """File of a spectrum, and its name."""

    @property
    def file(self) -> str:
        """Path of the file."""

    @property
    def group(self) -> str | None:
        """Group of an Athena project, or name of the absorption column."""

    @property
    def label(self) -> str:
        """Name in tables and figures."""

    @property
    def energy_unit(self) -> str | None:
        """Unit of the energies, None if the file gives it."""

    @property
    def energy_shift_ev(self) -> float:
        """Offset added to the energies, eV."""


def read_references(sources: Iterable[tuple[float, SpectrumFile]]) -> list[Reference]:
    """Read reference spectra, each with its valence, in the given order."""
    references = []
    for valence, source in sources:
        spectrum = read_spectrum(Path(source.file), group=source.group, energy_unit=source.energy_unit)
        moved = Spectrum(spectrum.energy_ev + source.energy_shift_ev, spectrum.absorption, spectrum.metadata)
        references.append(Reference(source.label, valence, moved))
    return references


def component_spectra(inputs: Mapping[str, Path], components: Iterable[Any] | str) -> dict[str, Spectrum]:
    """Read the measured spectra of other substances, by their names.

    Parameters
    ----------
    inputs : files, ``spectrum_<k>`` for the substance k
    components : substances with ``name`` and ``spectrum`` (None without a file), or a word
    """
    return {
        one.name: read_spectrum(inputs[f"spectrum_{k}"], group=None, energy_unit=None)
        for k, one in enumerate(() if isinstance(components, str) else components)
        if one.spectrum is not None
    }


def files_of(sources: Iterable[tuple[float, SpectrumFile]]) -> dict[str, Path]:
    """Return the files of references, each once, by names for the provenance."""
    files = dict.fromkeys(Path(source.file) for _, source in sources)
    return {f"reference_{file.stem}_{number}": file for number, file in enumerate(files)}
