"""Electron microscopy through RosettaSciIO: DigitalMicrograph, EMD, HyperSpy, Bruker BCF.

It reads images, stacks and spectrum images.

The extra ``em`` installs the package. Only readers that parse data are called; none of them
executes or unpickles anything.
"""

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oxytomo.arrays import AnyArray, Float64Array, FloatArray
from oxytomo.errors import InputError
from oxytomo.io.optional import any_error_of, optional_package
from oxytomo.io.readers.angles import to_degrees
from oxytomo.io.readers.base import (
    FrameStack,
    RawFile,
    ReadRequest,
    SpectrumRequest,
    checked_stack,
    square_pixel,
)
from oxytomo.io.readers.guard import check_declared
from oxytomo.io.readers.hdf5 import is_hdf5, item_of, open_hdf5, text
from oxytomo.preprocess.spectrum_image import window_map
from oxytomo.units import to_ev, to_nm

NAME = "electron microscopy"
OWN_NAMES = True
"""``dataset`` is the title of a signal, not a path in an HDF5 file."""

_PACKAGE_OF = {"dm": "digitalmicrograph", "bcf": "bruker", "hspy": "hspy", "emd": "emd"}
_BCF = b"AAMVHFSS"
_ENERGY_UNITS = ("ev", "kev")
_ANGLE_UNITS = ("deg", "degree", "degrees", "°", "rad", "mrad")
_SHORT_LENGTHS = {"å": 0.1, "angstrom": 0.1, "pm": 1e-3}
_MOST_SIGNALS = 200


@dataclass(frozen=True)
class Signal:
    """One signal of a file: title, values (may be unread), and axes in their order."""

    title: str
    values: Any
    axes: tuple[dict[str, Any], ...]

    @property
    def energy_axis(self) -> int | None:
        """The energy axis, recognised by its unit."""
        units = [str(axis.get("units") or "").strip().lower() for axis in self.axes]
        return next((i for i, unit in enumerate(units) if unit in _ENERGY_UNITS), None)


def recognises(path: Path) -> bool:
    """Return whether the file is one of these formats."""
    return _kind(path) is not None


def _kind(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(8)
    if head == _BCF:
        return "bcf"
    if head[:4] in (b"\0\0\0\3", b"\0\0\0\4") and path.suffix.lower() in (".dm3", ".dm4"):
        return "dm"
    if not is_hdf5(path):
        return None
    with open_hdf5(path) as file:
        if text(file.attrs.get("file_format")).lower() == "hyperspy" and "Experiments" in file:
            return "hspy"
        return "emd" if _is_emd(file) else None


def _is_emd(file: h5py.File) -> bool:
    """Return whether the file is an EMD of Velox or of the NCEM."""
    if isinstance(file.get("Data"), h5py.Group) and {"Version", "Experiments", "Operations"} & set(file):
        return True
    return "version_major" in file.attrs and any(
        isinstance(group := item_of(file, name), h5py.Group)
        and any("emd_group_type" in getattr(item_of(group, one), "attrs", {}) for one in group)
        for name in file
    )


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the images of a file, or the maps from the windows of a spectrum image."""
    signal = _chosen(_signals(path), request, path)
    energy, window = signal.energy_axis, request.spectrum
    if window is not None and energy is None:
        raise InputError(
            str(path), expected="a spectrum image", got="images without energies", fix="remove 'spectrum'"
        )
    if energy is not None and len(signal.axes) not in (3, 4):
        raise _no_images(path, f"spectra of shape {signal.values.shape}")
    if energy is not None and window is None and len(signal.axes) == 4:
        raise InputError(
            str(path),
            expected="the window of a line for a series of spectrum images",
            got="none",
            fix="give 'spectrum: {window_ev: [low, high]}' beside the images",
        )
    if energy is not None and window is not None:
        return _maps(path, signal, energy, window, request)
    return _images(path, signal, energy, request)


def _images(path: Path, signal: Signal, energy: int | None, request: ReadRequest) -> RawFile:
    """Describe images, an image stack, or a spectrum image as one image per energy."""
    order = _order(signal, energy)
    shape = tuple(int(signal.values.shape[i]) for i in order)
    frames = shape if len(shape) == 3 else (1, *shape)
    title = signal.title
    stack = checked_stack(
        frames,
        np.dtype(signal.values.dtype),
        lambda: _loaded(path, title, order).reshape(frames),
        path,
        title,
    )
    first = signal.axes[order[0]] if len(order) == 3 else None
    return RawFile(
        path=path,
        frames=stack,
        tilt_deg=None if first is None or energy is not None else _angles(first, path),
        energy_ev=None if energy is None else _energies(signal.axes[energy]),
        pixel_nm=None if request.pixel_nm is not None else _pixel_nm(signal, order, frames[0], path),
        metadata={"signal": title},
    )


def _maps(path: Path, signal: Signal, energy: int, window: SpectrumRequest, request: ReadRequest) -> RawFile:
    """Describe the map of one line, or one map per tilt."""
    order = _order(signal, energy)  # optional tilt, then energy, y, x
    energy_ev, title = _energies(signal.axes[energy]), signal.title
    n = int(signal.values.shape[order[0]]) if len(order) == 4 else 1
    n_y, n_x = (int(signal.values.shape[i]) for i in order[-2:])
    counts = np.dtype(signal.values.dtype).kind in "iu"
    window_map(  # the windows are checked before the spectra are read
        ((np.abs(energy_ev) + 1) ** -2.0)[None, None],
        energy_ev,
        window_ev=window.window_ev,
        background_ev=window.background_ev,
        law=window.background,
        counts=False,
    )

    def made() -> list[tuple[FloatArray, FloatArray | None]]:
        spectra = np.moveaxis(_loaded(path, title, order).reshape(n, energy_ev.size, n_y, n_x), 1, -1)
        return [
            window_map(
                one,
                energy_ev,
                window_ev=window.window_ev,
                background_ev=window.background_ev,
                law=window.background,
                counts=counts,
            )
            for one in spectra
        ]

    def stack(part: int) -> FrameStack:
        return checked_stack(
            (n, n_y, n_x),
            np.dtype(np.float32),
            lambda: np.stack([np.asarray(one[part], np.float32) for one in made()]),
            path,
            title,
        )

    return RawFile(
        path=path,
        frames=stack(0),
        variance=stack(1) if counts else None,
        tilt_deg=_angles(signal.axes[order[0]], path) if len(order) == 4 else None,
        pixel_nm=None if request.pixel_nm is not None else _pixel_nm(signal, order, n, path),
        quantity="signal",
        metadata={"signal": title, "window": _said(window)},
    )


def _said(window: SpectrumRequest) -> str:
    sides = " and ".join(f"{low:g} to {high:g} eV" for low, high in window.background_ev)
    low, high = window.window_ev
    return f"{low:g} to {high:g} eV, background {window.background}" + (f" from {sides}" if sides else "")


def _order(signal: Signal, energy: int | None) -> tuple[int, ...]:
    """Return the axes in the order tilt (or frame), energy, y, x.

    Rows and columns keep the order of the file.
    """
    plain = [i for i in range(len(signal.axes)) if i != energy]
    if energy is None:
        return tuple(plain)
    return (*plain[:-2], energy, *plain[-2:])


def _loaded(path: Path, title: str, order: tuple[int, ...]) -> AnyArray:
    """Read the values of one signal with its axes in a new order."""
    signal = next(one for one in _signals(path) if one.title == title)
    with any_error_of("RosettaSciIO", path):
        values = signal.values.compute() if hasattr(signal.values, "compute") else signal.values
    return np.ascontiguousarray(np.transpose(np.asarray(values), order))


def _signals(path: Path) -> list[Signal]:
    """Return the content of a file; values are read on access."""
    kind = str(_kind(path))
    optional_package("rsciio", what=f"{path} ({path.suffix.lstrip('.') or kind})", extra="em")
    reader = importlib.import_module(f"rsciio.{_PACKAGE_OF[kind]}").file_reader
    if kind in ("hspy", "emd"):
        _check_sizes(path)
    with any_error_of("RosettaSciIO", path):
        try:
            signals = reader(str(path), lazy=True)
        except ValueError:
            # Small datasets without chunks among the metadata cannot be read later.
            signals = reader(str(path), lazy=False)
        return _found(signals, path)


def _found(signals: list[dict[str, Any]], path: Path) -> list[Signal]:
    """Return signals with numbers and as many axes as dimensions, each with its own title."""
    found: list[Signal] = []
    for one in signals[:_MOST_SIGNALS]:
        values, axes = one["data"], list(one["axes"])
        axes.sort(key=lambda axis: int(axis.get("index_in_array") or 0))
        if len(axes) != values.ndim or np.dtype(values.dtype).kind not in "iuf":
            continue
        declared = math.prod(int(size) for size in values.shape) * np.dtype(values.dtype).itemsize
        check_declared(path, declared, path.stat().st_size, "values")
        general = dict(one.get("metadata") or {}).get("General") or {}
        title = _plain(str(dict(general).get("title") or "signal"))
        taken = {signal.title for signal in found}
        number = next(i for i in range(1, _MOST_SIGNALS + 2) if _numbered(title, i) not in taken)
        found.append(Signal(_numbered(title, number), values, tuple(dict(axis) for axis in axes)))
    return found


def _check_sizes(path: Path) -> None:
    """Refuse declared sizes that no compression explains before anything is read."""
    from oxytomo.io.readers.declared import datasets

    with open_hdf5(path) as file:
        for item in datasets(file):
            if item.dtype.kind in "iufcb" and item.shape:
                size = math.prod(item.shape) * item.dtype.itemsize
                check_declared(path, size, item.id.get_storage_size(), f"values in {_plain(item.name)}")


def _plain(name: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:120]


def _numbered(title: str, number: int) -> str:
    return title if number == 1 else f"{title} ({number})"


def _chosen(signals: list[Signal], request: ReadRequest, path: Path) -> Signal:
    """Return the signal with the given title, or the only one of the required kind."""
    listed = ", ".join(f"'{one.title}' {tuple(map(int, one.values.shape))}" for one in signals[:12]) or "none"
    if request.dataset is not None:
        named = next((one for one in signals if one.title == request.dataset), None)
        if named is None:
            raise InputError(
                f"{path} [dataset]",
                expected=f"a signal '{request.dataset}'",
                got=listed,
                fix="name one of them",
            )
        return named
    spectra = [one for one in signals if one.energy_axis is not None and one.values.ndim in (3, 4)]
    images = [one for one in signals if one.energy_axis is None and one.values.ndim in (2, 3)]
    fitting = spectra if request.spectrum is not None or spectra else images
    if len(fitting) != 1:
        if not fitting:
            raise _no_images(path, listed, spectra=request.spectrum is not None)
        raise InputError(str(path), expected="one signal", got=listed, fix="name the signal with 'dataset:'")
    return fitting[0]


def _no_images(path: Path, got: str, *, spectra: bool = False) -> InputError:
    return InputError(
        str(path),
        expected="a spectrum image" if spectra else "images, an image stack or a spectrum image",
        got=got,
        fix="remove 'spectrum', or give the spectrum image"
        if spectra
        else "give a file with images; a single spectrum can be a reference (as .msa)",
    )


def _points(axis: dict[str, Any]) -> Float64Array:
    """Return the positions along an axis in its own unit."""
    if axis.get("axis") is not None:
        return np.asarray(axis["axis"], np.float64).reshape(-1)
    steps = np.arange(int(axis["size"]), dtype=np.float64)
    return np.float64(axis.get("offset") or 0.0) + np.float64(axis.get("scale") or 1.0) * steps


def _energies(axis: dict[str, Any]) -> Float64Array:
    return _points(axis) * to_ev(1.0, str(axis["units"]))


def _angles(axis: dict[str, Any], path: Path) -> Float64Array | None:
    """Return the tilts of an axis in degrees, None if it is not an axis of angles."""
    unit = str(axis.get("units") or "").strip().lower()
    return to_degrees(_points(axis), unit, path) if unit in _ANGLE_UNITS else None


def _pixel_nm(signal: Signal, order: tuple[int, ...], n: int, path: Path) -> Float64Array | None:
    """Return the pixel size, None if an axis has no unit of length."""
    sizes: list[Float64Array | None] = []
    for axis in (signal.axes[i] for i in order[-2:]):
        unit, scale = str(axis.get("units") or "").strip(), abs(float(axis.get("scale") or 0.0))
        try:
            factor = _SHORT_LENGTHS.get(unit.lower()) or to_nm(1.0, unit)
        except KeyError:
            factor = 0.0
        sizes.append(np.full(n, factor * scale) if factor * scale > 0 else None)
    return square_pixel(sizes[1], sizes[0], path)
