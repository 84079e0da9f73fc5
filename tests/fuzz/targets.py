"""What is fuzzed: every reader and the configuration, each with small honest files to damage."""

import gzip
import logging
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fabio
import h5py
import mrcfile
import numpy as np
import tifffile
import yaml
import zarr

from oxytomo.arrays import TiltSeries
from oxytomo.config import load_config
from oxytomo.errors import InputError
from oxytomo.io.cycler import read_cycler
from oxytomo.io.emission_maps import MapRequest, read_map
from oxytomo.io.readers import ReadRequest, peek, read_angles, read_tilt_series
from oxytomo.io.readers.base import SpectrumRequest
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.io.readers.spectral import read_energies, read_spectral_stack
from oxytomo.io.spectra import read_spectrum
from oxytomo.io.volumes import VolumeRequest, read_volume
from tests.fuzz.layouts import (
    ENERGIES,
    FRAMES,
    als_image,
    als_xim,
    cxi,
    diamond,
    dm3,
    em_images,
    em_written,
    fxi_stack,
    fxi_tomo,
    mistral_aligned,
    msa,
    own_layout,
    stxm_old,
)

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Target:
    """One reader: how honest files are made, what they are called, how a file is read."""

    name: str
    suffix: str
    make: tuple[Callable[[Path], None], ...]
    read: Callable[[Path], object]

    def seeds(self, folder: Path) -> list[bytes]:
        """Return the contents of the honest files."""
        contents = []
        for number, make in enumerate(self.make):
            path = folder / f"seed_{number}{self.suffix}"
            make(path)
            contents.append(path.read_bytes())
        return contents

    def place(self, folder: Path, content: bytes) -> Path:
        """Write a file to read."""
        path = folder / f"damaged{self.suffix}"
        path.write_bytes(content)
        return path


def quiet_libraries() -> None:
    """Keep what libraries say of damaged files out of the way."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def series(path: Path) -> object:
    """Read as a tilt series, header first."""
    request = ReadRequest(images=(path,), angles=(0.0, 1.0), energy_ev=700.0)
    peek(request)
    return read_tilt_series(request).frames.sum()


def stack(path: Path) -> object:
    """Read as a stack through an edge, with its own energies, every frame."""
    found = read_spectral_stack(ReadRequest(images=(path,)), energies=None, energy_unit=None)
    for index in range(found.shape[0]):
        found.frame(index)
    return found.flat(0), found.dark()


def volume(path: Path) -> object:
    """Read as a volume."""
    return np.asarray(read_volume(VolumeRequest(images=(path,))).values[:]).sum()


PLACES = {
    "dataset": "a/img",
    "flat_dataset": "w",
    "dark_dataset": "w",
    "angles_dataset": "a/t",
    "energy_dataset": "e",
}
WINDOW = SpectrumRequest(
    window_ev=(640.0, 700.0), background_ev=((600.0, 640.0), (700.0, 740.0)), background="linear"
)


def declared(path: Path) -> object:
    """Read as a tilt series whose datasets are named."""
    read = read_tilt_series(ReadRequest(images=(path,), pixel_nm=5.0, **PLACES))
    return read.frames.sum()


def line_map(path: Path) -> object:
    """Read as the map of a line of a spectrum image, as a stack of images, or one after the other."""
    try:
        return read_tilt_series(ReadRequest(images=(path,), angles=(0.0, 1.0), spectrum=WINDOW)).frames.sum()
    except InputError:
        return series(path)


def series_of_xim(path: Path) -> object:
    """Read the image of a scan whose header is beside it."""
    image = path.with_name("damaged_a.xim")
    image.write_bytes(path.read_bytes())
    return series(image)


def exchange(path: Path) -> None:
    one = np.arange(6.0)
    frames = {"frames": FRAMES, "flat": FRAMES[:2].astype(np.float32), "dark": FRAMES[:1].astype(np.float32)}
    write_data_exchange(
        path, TiltSeries(**frames, tilt_deg=one, energy_ev=one + 600, pixel_nm=one * 0 + 9, quantity="counts")
    )


def exchange_chunked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("exchange/data", data=FRAMES, chunks=(2, 6, 10), compression="gzip", shuffle=True)
        file["exchange/theta"] = np.arange(6.0)
        file["implements"] = "exchange"


def slices_chunked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("volume", data=FRAMES, chunks=(2, 6, 10), compression="gzip", shuffle=True)


def slices_among_others(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["recon/data"] = FRAMES.astype(np.float32)
        file["recon/mask"], file["recon/voxel_size"] = FRAMES[0] > 0, [5.0]


def exchange_plugin(path: Path) -> None:
    import hdf5plugin

    with h5py.File(path, "w") as file:
        file.create_dataset("exchange/data", data=FRAMES, chunks=(1, 12, 10), **hdf5plugin.Bitshuffle())
        file.create_dataset("exchange/data_white", data=FRAMES[0], chunks=(12, 10), **hdf5plugin.Zstd())


def exchange_stack(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["exchange/data"] = FRAMES
        file["exchange/data"].attrs["units"] = "counts"
        file["exchange/data_white"] = FRAMES + 10
        file["exchange/energy"] = ENERGIES
        file["exchange/energy"].attrs["units"] = "eV"


def nexus(path: Path) -> None:
    with h5py.File(path, "w") as file:
        classes = {"e": "NXentry", "e/i": "NXinstrument", "e/i/d": "NXdetector", "e/s": "NXsample"}
        for name, nx_class in classes.items():
            file.create_group(name).attrs["NX_class"] = nx_class
        file["e/definition"] = "NXtomo"
        file["e/i/d/data"] = FRAMES
        file["e/i/d/image_key"] = [0, 0, 0, 0, 1, 2]
        file["e/i/d/image_key_control"] = [0, 0, 0, -1, 1, 2]
        file["e/i/d/field_of_view"] = "Full"
        file["e/s/rotation_angle"] = np.arange(6.0)
        file["e/i/d/x_pixel_size"] = 1e-8
        file["e/i/d/x_pixel_size"].attrs["units"] = "m"


def nxstxm(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("entry1").attrs["NX_class"] = "NXentry"
        file["entry1/definition"] = "NXstxm"
        data = file.create_group("entry1/Counter0")
        data.attrs["NX_class"] = "NXdata"
        data.attrs["signal"] = "data"
        data["data"], data["energy"] = FRAMES, ENERGIES
        data["sample_x"], data["sample_y"] = np.arange(10.0), np.arange(12.0)


def mistral(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("TomoNormalized")
        group["TomoNormalized"] = FRAMES.astype(np.float32)
        group["rotation_angle"], group["energy"] = np.arange(6.0), [520.0]
        group["x_pixel_size"] = [0.01]


def mrc(path: Path) -> None:
    with mrcfile.new(path) as file:
        file.set_data(FRAMES)


def tiff(path: Path) -> None:
    tifffile.imwrite(path, FRAMES)


def tiff_by_pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for frame in FRAMES:
            file.write(frame)


def mrc_bytes(path: Path) -> None:
    with mrcfile.new(path) as file:
        file.set_data((FRAMES % 100).astype(np.int8))
    content = bytearray(path.read_bytes())
    content[152:160] = struct.pack("<2i", 1146047817, 0)  # IMOD's mark of unsigned bytes
    path.write_bytes(content)


def ome_zarr_scales(path: Path) -> None:
    group = zarr.open_group(path.with_name("image.zarr"), mode="w", zarr_format=2)
    group.create_array("0", data=FRAMES, chunks=(6, 12, 10))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [0.02, 0.02, 0.02]}]
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": axes,
            "datasets": [{"path": "0", "coordinateTransformations": scale}],
            "coordinateTransformations": scale,
        }
    ]
    path.write_bytes((path.with_name("image.zarr") / ".zattrs").read_bytes())


def ome_zarr(path: Path) -> object:
    """Read the image whose attributes are the damaged file."""
    (path.with_name("image.zarr") / ".zattrs").write_bytes(path.read_bytes())
    return volume(path.with_name("image.zarr"))


def tiff_zipped(path: Path) -> None:
    tifffile.imwrite(path, FRAMES, compression="zlib")


def tiff_big(path: Path) -> None:
    tifffile.imwrite(path, FRAMES, bigtiff=True, byteorder=">")


def edf(path: Path) -> None:
    image = fabio.edfimage.EdfImage(data=FRAMES[0], header={"title": "x"})
    for frame in FRAMES[1:]:
        image.append_frame(data=frame)
    image.write(str(path))


def metaimage(path: Path) -> None:
    head = (
        "ObjectType = Image\nNDims = 3\nDimSize = 10 12 6\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    path.write_bytes(head.encode() + FRAMES.tobytes())


def metaimage_zipped(path: Path) -> None:
    import zlib

    head = (
        "ObjectType = Image\nNDims = 3\nDimSize = 10 12 6\nElementType = MET_SHORT\nCompressedData = True\n"
    )
    path.write_bytes(head.encode() + b"ElementDataFile = LOCAL\n" + zlib.compress(FRAMES.tobytes()))


def nifti(path: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(FRAMES, np.eye(4)), str(path))


def nifti_packed(path: Path) -> None:
    import nibabel

    plain = path.with_name("plain.nii")
    nibabel.save(nibabel.Nifti1Image(FRAMES, np.eye(4)), str(plain))
    # Stored blocks: damage reaches the header and the values, not only the checksum.
    path.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=0))
    plain.unlink()


def nrrd_file(path: Path) -> None:
    import nrrd

    nrrd.write(str(path), FRAMES, {"encoding": "raw"})


def nrrd_zipped(path: Path) -> None:
    import nrrd

    nrrd.write(str(path), FRAMES, {"encoding": "gzip"})


def xradia(path: Path) -> None:
    from tests.fuzz.ole import write_ole

    n, n_y, n_x = FRAMES.shape
    integers = {"ImageWidth": n_x, "ImageHeight": n_y, "NoOfImages": n, "DataType": 5}
    streams = {f"ImageInfo/{name}": struct.pack("<i", value) for name, value in integers.items()}
    streams["ImageInfo/Angles"] = np.arange(6, dtype="<f4").tobytes()
    streams["ImageInfo/PixelSize"] = np.full(6, 0.01, "<f4").tobytes()
    streams |= {f"ImageData1/Image{i + 1}": FRAMES[i].astype("<u2").tobytes() for i in range(n)}
    write_ole(path, streams)


def als_header(path: Path) -> None:
    axes = "".join(
        f'{name} = {{ Name = "{name}"; Unit = "{unit}"; Min = 0; Max = 1; Points = ({points}); }};\n'
        for name, unit, points in (
            ("PAxis", "um", "2, 0.0, 0.1"),
            ("QAxis", "um", "2, 0.0, 0.1"),
            ("StackAxis", "eV", "6, 640, 641, 642, 643, 644, 645"),
        )
    )
    path.write_text(
        'ScanDefinition = { Label = "x"; Type = "NEXAFS Image Scan"; Regions = (1,\n{\n' + axes + "});};\n"
    )
    for number in range(6):
        path.with_name(f"damaged_a{number:03d}.xim").write_text("1\t2\n3\t4\n")
        path.with_name(f"{path.stem}_a{number:03d}.xim").write_text("1\t2\n3\t4\n")


def spectrum_text(path: Path) -> None:
    path.write_text("# energy, mu\n" + "".join(f"{640 + i},{i * i}\n" for i in range(12)))


def spectrum_xdi(path: Path) -> None:
    head = (
        "# XDI/1.0\n# Column.1: energy eV\n# Column.2: i0\n# Column.3: itrans\n# Element.symbol: Mn\n#---\n"
    )
    path.write_text(head + "".join(f"{6540 + i} {1000 + i} {900 - 3 * i}\n" for i in range(12)))


def spectrum_athena(path: Path) -> None:
    text = "# Athena project file\n$old_group = 'a';\n@args = ('label','MnO2');\n@x = ({});\n@y = ({});\n[record]\n"
    numbers = ",".join(f"'{6540 + i}'" for i in range(8)), ",".join(f"'{i * i}'" for i in range(8))
    path.write_bytes(gzip.compress(text.format(*numbers).encode()))


def angle_table(path: Path) -> None:
    path.write_text("name;theta_rad;energy_keV\n" + "".join(f"a{i};{i / 10};0.5\n" for i in range(6)))


def angle_table_commas(path: Path) -> None:
    path.write_text("".join(f"{i},{i % 4 * 25:02d}\n" for i in range(9)))


def energy_table_commas(path: Path) -> None:
    path.write_text("energy;i0\n" + "".join(f"{640 + i},25;{i},5\n" for i in range(6)))


def cycler_table(path: Path) -> None:
    rows = [f"{10 * i},{3.8 + 0.01 * (i % 7)},{0.1 * (i // 10 % 2)}" for i in range(60)]
    path.write_text("\n".join(["time/s,Ewe/V,I/mA", *rows]) + "\n", encoding="utf-8")


def cycler_table_commas(path: Path) -> None:
    rows = [f"{i}\t{3800 + i % 7}\t0,{i // 10 % 2}" for i in range(60)]
    head = ["EC-Lab ASCII FILE", "Nb header lines : 4", "", "Time (min)\t<Ewe>/mV\t<I>/mA"]
    path.write_text("\n".join([*head, *rows]) + "\n", encoding="latin-1")


def energy_table(path: Path) -> None:
    path.write_text("energy_ev,counts\n" + "".join(f"{640 + i},{i}\n" for i in range(6)))


def example(name: str) -> Callable[[Path], None]:
    """Return a function that copies an example configuration."""

    def copy(path: Path) -> None:
        path.write_bytes((REPOSITORY / "configs" / name).read_bytes())

    return copy


def anchors(path: Path) -> None:
    data: dict[str, Any] = {"samples": {"a": {"tomogram": {"source": "a.h5"}}}}
    text = yaml.safe_dump(data) + "x: &x [1, 2]\ny: [*x, *x]\n"
    path.write_text(text.replace("x:", "results: r\n#x:").replace("y:", "#y:"))


def emission_map_of(path: Path) -> object:
    """Read a map over excitation and emission energy."""
    return read_map(MapRequest((path,)))


def emission_map_file(path: Path) -> None:
    """Write a small NeXus map."""
    with h5py.File(path, "w") as file:
        group = file.create_group("map")
        group.attrs.update({"NX_class": "NXdata", "signal": "counts"})
        group.attrs["axes"] = ["excitation", "emission"]
        group["counts"] = np.arange(42, dtype=np.uint16).reshape(6, 7)
        group["excitation"], group["emission"] = np.arange(528.0, 534.0), np.arange(520.0, 527.0)


def emission_table(path: Path) -> None:
    """Write a small map as text."""
    rows = ["excitation,520.5,521.5,522.5,523.5,524.5,525.5"]
    rows += [f"{528.25 + i}," + ",".join(str(i + j) for j in range(6)) for i in range(6)]
    path.write_text("\n".join(rows), encoding="utf-8")


_HDF5 = {
    "hdf5_exchange": (series, exchange, exchange_chunked, exchange_plugin),
    "hdf5_nexus": (series, nexus, diamond),
    "hdf5_mistral": (series, mistral, mistral_aligned),
    "hdf5_stack": (stack, exchange_stack, nxstxm, fxi_stack, stxm_old),
    "hdf5_declared": (declared, own_layout),
    "hdf5_fxi": (series, fxi_tomo),
    "hdf5_cxi": (series, cxi),
    "hdf5_volume": (volume, slices_chunked, slices_among_others),
    "hdf5_map": (emission_map_of, emission_map_file),
}
_OTHERS: tuple[Target, ...] = (
    Target("emission_text", ".csv", (emission_table,), emission_map_of),
    Target("xradia", ".txrm", (xradia,), series),
    Target("mrc", ".mrc", (mrc, mrc_bytes), series),
    Target("mrc_volume", ".mrc", (mrc, mrc_bytes), volume),
    Target("tiff", ".tif", (tiff, tiff_zipped, tiff_big, tiff_by_pages), series),
    Target("tiff_volume", ".tif", (tiff, tiff_zipped, tiff_by_pages), volume),
    Target("ome_zarr", ".zattrs", (ome_zarr_scales,), ome_zarr),
    Target("edf", ".edf", (edf,), series),
    Target("als_stxm", ".hdr", (als_header,), stack),
    Target("als_image", ".hdr", (als_image,), series),
    Target("als_xim", ".xim", (als_xim,), series_of_xim),
    Target("em_hspy", ".hspy", (em_written, em_images), line_map),
    Target("em_emd", ".emd", (em_written,), line_map),
    Target("em_dm", ".dm3", (dm3,), line_map),
    Target("msa", ".msa", (msa,), lambda path: read_spectrum(path, group=None, energy_unit=None)),
    Target("metaimage", ".mha", (metaimage, metaimage_zipped), volume),
    Target("nifti", ".nii", (nifti,), volume),
    Target("nifti_packed", ".nii.gz", (nifti_packed,), volume),
    Target("nrrd", ".nrrd", (nrrd_file, nrrd_zipped), volume),
    Target(
        "spectrum",
        ".dat",
        (spectrum_text, spectrum_xdi, spectrum_athena),
        lambda path: read_spectrum(path, group=None, energy_unit=None),
    ),
    Target("angles", ".txt", (angle_table, angle_table_commas), read_angles),
    Target("energies", ".csv", (energy_table, energy_table_commas), lambda path: read_energies(path, None)),
    Target("cycler", ".csv", (cycler_table, cycler_table_commas), read_cycler),
    Target("yaml", ".yaml", (example("demo.yaml"), example("stem_eds_elements.yaml"), anchors), load_config),
)
TARGETS: dict[str, Target] = {
    **{name: Target(name, ".h5", tuple(make), read) for name, (read, *make) in _HDF5.items()},
    **{target.name: target for target in _OTHERS},
}
