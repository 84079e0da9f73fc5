"""Small honest files of declared HDF5, FXI, CXI, STXM, and electron microscopes, to damage."""

from pathlib import Path

import h5py
import numpy as np

FRAMES = np.random.default_rng(1).integers(0, 4000, (6, 12, 10)).astype(np.int16)
ENERGIES = np.linspace(640.0, 660.0, 6)


def own_layout(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a/img"], file["w"], file["a/t"], file["e"] = FRAMES, FRAMES[:2], np.arange(6.0), 0.7
        file["c"] = FRAMES.astype(np.complex64)


def fxi_tomo(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["img_tomo"], file["angle"], file["X_eng"] = FRAMES, np.arange(6.0), 8.3
        file["img_bkg"], file["img_dark_avg"], file["Pixel Size"] = FRAMES[:2], FRAMES[:1], "20.1nm"


def fxi_stack(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["img_xanes"], file["X_eng"] = FRAMES / np.float32(4000), ENERGIES / 1e3
        file["Pixel Size"] = "20.1nm"


def cxi(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["entry_1/image_1/data"] = (FRAMES / 4000).astype(np.complex64)
        file["entry_1/image_1/image_size"] = np.array([1e-7, 1.2e-7, 0.0])
        file["entry_1/instrument_1/source_1/energy"] = 1.1e-16


def stxm_old(path: Path) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_group("entry0/counter0")
        data["stxm_scan_type"], data["data"], data["energy"] = "sample image stack", FRAMES, ENERGIES
        data["sample_x"], data["sample_y"] = np.arange(10.0), np.arange(12.0)


def diamond(path: Path) -> None:
    with h5py.File(path, "w") as file:
        classes = {"e": "NXentry", "e/t": "NXsubentry", "e/t/i": "NXinstrument", "e/t/i/d": "NXdetector"}
        for name, nx_class in classes.items():
            file.create_group(name).attrs["NX_class"] = nx_class
        file["e/t/definition"], file["e/t/i/d/data"] = "NXtomo", FRAMES
        file["e/t/i/d/image_key"] = [0, 0, 0, 0, 1, 2]


def mistral_aligned(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("FastAligned")
        group["tomo_aligned"], group["rotation_angle"] = FRAMES.astype(np.float32), np.arange(6.0)


def als_image(path: Path) -> None:
    axes = "".join(
        f'{name} = {{ Name = "{name}"; Unit = "um"; Min = 0; Max = 1; Points = (2, 0.0, 0.1); }};\n'
        for name in ("PAxis", "QAxis")
    )
    entry = "Image000_0 = {StorageRingCurrent = 500.1; Energy = 640.25; ZP_dest= 0;};\n"
    kind = 'ScanDefinition = { Label = "x"; Type = "Image Scan"; Regions = (1,\n{\n'
    path.write_text(kind + axes + "});};\n" + entry)
    for stem in ("damaged", path.stem):
        path.with_name(f"{stem}_a.xim").write_text("1\t2\n3\t4\n")


def als_xim(path: Path) -> None:
    path.write_text("1\t2\n3\t4\n")
    als_image(path.with_name("damaged.hdr"))


def spectrum_image() -> np.ndarray:
    """Return a small spectrum image (n_y, n_x, n_e)."""
    return np.random.default_rng(2).integers(0, 40, (3, 4, 200)).astype(np.int32)


def em_written(path: Path) -> None:
    from tests.fuzz.em import written

    written(path, spectrum_image())


def em_images(path: Path) -> None:
    from tests.fuzz.em import written

    written(path, FRAMES.astype(np.float32))


def dm3(path: Path) -> None:
    from tests.fuzz.dm3 import write_dm3

    values = np.ascontiguousarray(np.moveaxis(spectrum_image(), -1, 0))
    write_dm3(path, values, [(300.0, 5.0, "eV"), (0.0, 2.0, "nm"), (0.0, 2.0, "nm")])


def msa(path: Path) -> None:
    head = "#FORMAT      : EMSA/MAS Spectral Data File\n#VERSION     : 1.0\n#NPOINTS     : 12\n#NCOLUMNS    : 1\n"
    head += (
        "#XUNITS      : eV\n#DATATYPE    : Y\n#XPERCHAN    : 5.0\n#OFFSET      : 300.0\n#SPECTRUM    : here\n"
    )
    path.write_text(head + "".join(f"{i * i},\n" for i in range(12)) + "#ENDOFDATA   : \n")
