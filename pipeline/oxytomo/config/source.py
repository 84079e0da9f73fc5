"""Files of a raw series, and metadata that they do not contain."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from oxytomo.arrays import Quantity
from oxytomo.config.base import (
    FilePath,
    Settings,
    below_configuration,
    checked_name,
    rejected,
    setting,
)
from oxytomo.config.patterns import expand
from oxytomo.config.ranges import COUNT, EDGE_PX, ENERGY_EV, PIXEL_NM


class AngleRamp(Settings):
    """Tilt angles in equal steps."""

    start: float = setting(..., "tilt of the first frame", unit="deg", ge=-360.0, le=360.0)
    step: float = setting(..., "step from frame to frame", unit="deg", ge=-180.0, le=180.0)


def _angle_kind(value: Any) -> str:
    return "ramp" if isinstance(value, dict | AngleRamp) else "path"


RawDtype = Literal[
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "float32",
    "float64",
]

Frame = Annotated[int, Field(ge=-COUNT, le=COUNT)]
Size = Annotated[int, Field(ge=-COUNT, le=EDGE_PX)]

Angles = Annotated[
    Annotated[str, Tag("path")] | Annotated[AngleRamp, Tag("ramp")], Discriminator(_angle_kind)
]


class ImageSource(Settings):
    """Files with images: a path, or a mapping if metadata are missing in the files.

    Paths may contain ``*`` and ``?``. A string is short for ``images``.
    """

    images: tuple[str, ...] = setting(..., "file, folder, pattern, or a list of them", min_length=1)
    dataset: str | None = setting(
        None, "path of the images inside an HDF5 file, if it is not found automatically"
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, data: Any) -> Any:
        """Accept a path instead of the mapping."""
        if isinstance(data, str | Path):
            return {"images": (str(data),)}
        if not isinstance(data, dict | ImageSource):
            raise rejected("a path or a mapping with 'images'", repr(data), "give the path of the raw file")
        return data

    @field_validator("images", "flat", "dark", mode="before", check_fields=False)
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        """Accept one path instead of a list."""
        return (str(value),) if isinstance(value, str | Path) else value

    @field_validator("images", "flat", "dark", mode="after", check_fields=False)
    @classmethod
    def _below_the_configuration(
        cls, value: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        """Resolve paths relative to the configuration file."""
        if value is None:
            return None
        if any(not path.strip() for path in value):
            raise rejected("a path", "an empty string", "give the path of the raw file")
        return tuple(below_configuration(path, info) for path in value)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe both the path and the mapping."""
        mapping = handler.resolve_ref_schema(handler(core_schema))
        for name in {"images", "flat", "dark"} & set(mapping["properties"]):
            described = {"description": mapping["properties"][name].get("description", "")}
            many = {"type": "array", "items": {"type": "string"}, "minItems": 1}
            none = [] if name == "images" else [{"type": "null"}]
            mapping["properties"][name] = described | {"anyOf": [{"type": "string"}, many, *none]}
        return {
            "title": cls.__name__,
            "description": "A path, or a mapping where the file does not say everything.",
            "anyOf": [{"type": "string"}, mapping],
        }


class VolumeSource(ImageSource):
    """A reconstructed volume or a mask; a raw file without header needs ``shape`` and ``dtype``."""

    shape: tuple[Size, ...] | None = setting(
        None, "shape of a raw file without header, slowest axis first (z, y, x)", unit="voxels"
    )
    dtype: RawDtype | None = setting(None, "data type of a raw file without header")
    byte_order: Literal["little", "big"] = setting("little", "byte order of a raw file without header")
    header_bytes: int = setting(
        0, "number of bytes before the first value of a raw file", unit="bytes", ge=0, le=COUNT
    )

    @model_validator(mode="after")
    def _shape_and_type_together(self) -> "VolumeSource":
        """Require both for a raw file, and neither for any other file."""
        if (self.shape is None) != (self.dtype is None):
            missing, given = ("dtype", "shape") if self.dtype is None else ("shape", "dtype")
            raise rejected(f"'{missing}' beside '{given}'", "none", "a raw file needs both", key=missing)
        if self.shape is not None and (len(self.shape) not in (2, 3) or min(self.shape) < 1):
            raise rejected("two or three positive sizes", str(self.shape), "correct it", key="shape")
        return self


class RawFrames(ImageSource):
    """Raw frames, with metadata that may be missing in the files."""

    flat: tuple[str, ...] | None = setting(None, "flat (empty) frames, if they are in separate files")
    dark: tuple[str, ...] | None = setting(None, "dark frames, if they are in separate files")
    pixel_nm: float | None = setting(
        None,
        "pixel size in the object plane, if the file does not contain it",
        unit="nm",
        ge=PIXEL_NM[0],
        le=PIXEL_NM[1],
    )
    quantity: Quantity | None = setting(None, "quantity of the pixels, if the file does not contain it")
    offset: float = setting(
        0.0, "number that is added to every pixel first", unit="pixel value", ge=-COUNT, le=COUNT
    )
    flat_dataset: str | None = setting(
        None, "path of the flat frames inside the HDF5 file, or inside the files of 'flat'"
    )
    dark_dataset: str | None = setting(
        None, "path of the dark frames inside the HDF5 file, or inside the files of 'dark'"
    )
    energy_dataset: str | None = setting(
        None, "path of the photon energies inside the HDF5 file: one per frame, or one for all"
    )


LineEnergy = Annotated[float, Field(ge=0.0, le=ENERGY_EV[1])]


class SpectrumSettings(Settings):
    """Energy window of a spectrum image (EDS, EELS) that gives the map of an element."""

    window_ev: tuple[LineEnergy, LineEnergy] = setting(
        ..., "energy range of the line or edge, [low, high)", unit="eV"
    )
    background_ev: tuple[tuple[LineEnergy, LineEnergy], ...] = setting(
        (),
        "energy ranges of the background: two around the line for linear, one below the edge for power_law",
        unit="eV",
    )
    background: Literal["none", "linear", "power_law"] | None = setting(
        None, "background model; empty: none without a window, power_law for one window, linear for two"
    )

    @model_validator(mode="after")
    def _windows_fit_the_law(self) -> "SpectrumSettings":
        """Require increasing windows, and as many background windows as the model needs."""
        for name, window in (
            ("window_ev", self.window_ev),
            *(("background_ev", w) for w in self.background_ev),
        ):
            if not window[0] < window[1]:
                raise rejected("[low, high] with low < high", str(list(window)), "correct it", key=name)
        wanted = {"none": 0, "power_law": 1, "linear": 2}[self.law]
        if len(self.background_ev) != wanted:
            raise rejected(
                f"{wanted} background windows for {self.law}",
                str(len(self.background_ev)),
                "give two windows around a line (linear) or one below an edge (power_law)",
                key="background_ev",
            )
        return self

    @property
    def law(self) -> Literal["none", "linear", "power_law"]:
        """Background model; by default it follows from the number of windows."""
        laws: tuple[Literal["none", "power_law", "linear"], ...] = ("none", "power_law", "linear")
        return self.background or laws[min(len(self.background_ev), 2)]


class Source(RawFrames):
    """One raw tilt series: a path, or a mapping if metadata are missing in the file."""

    angles: Angles | None = setting(None, "file with one tilt angle per frame, or {start, step}", unit="deg")
    angles_range: tuple[Frame, Frame] | None = setting(None, "use the angles [first, last) of the angle file")
    energy_ev: float | None = setting(
        None, "photon energy, if the file does not contain it", unit="eV", ge=ENERGY_EV[0], le=ENERGY_EV[1]
    )
    only_energy_ev: float | None = setting(
        None,
        "use only the frames of this energy, of a file with several energies",
        unit="eV",
        ge=ENERGY_EV[0],
        le=ENERGY_EV[1],
    )
    tilt_axis: Literal["vertical", "horizontal"] = setting(
        "vertical", "direction of the tilt axis in the stored frames; horizontal: the frames are transposed"
    )
    spectrum: SpectrumSettings | None = setting(
        None,
        "spectrum images (EDS, EELS): the energy window that gives the map of this element",
    )
    complex_part: Literal["modulus", "phase"] | None = setting(
        None,
        "complex images: use the optical density from the modulus, or the phase; empty: phase for "
        "phase maps, otherwise modulus",
    )
    angles_dataset: str | None = setting(
        None, "path of the tilt angles inside the HDF5 file, one per frame", unit="deg"
    )

    @field_validator("angles", mode="after")
    @classmethod
    def _angles_below_the_configuration(
        cls, value: str | AngleRamp | None, info: ValidationInfo
    ) -> str | AngleRamp | None:
        """Resolve the angle file relative to the configuration file."""
        return below_configuration(value, info) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_place_each(self) -> "Source":
        """Refuse angles or energies that are given twice."""
        only_one(self, "angles", "angles_dataset")
        only_one(self, "energy_ev", "energy_dataset")
        return self

    @model_validator(mode="after")
    def _range_needs_a_file(self) -> "Source":
        """Require an angle file and increasing limits for ``angles_range``."""
        if self.angles_range is not None:
            first, last = self.angles_range
            if not isinstance(self.angles, str):
                raise rejected(
                    "an angle file in 'angles' beside it", "none", "give 'angles' a file", key="angles_range"
                )
            if not 0 <= first < last:
                raise rejected(
                    "[first, last) with 0 <= first < last",
                    f"[{first}, {last}]",
                    "correct it",
                    key="angles_range",
                )
        return self


class StackSource(RawFrames):
    """One raw stack of images through an absorption edge."""

    energies: FilePath | None = setting(
        None, "table with one energy per frame, if the file does not contain them"
    )
    energy_unit: Literal["eV", "keV"] | None = setting(
        None,
        "unit of the energies; empty: the unit given in the file; without one, numbers below 100 are keV",
    )

    @model_validator(mode="after")
    def _one_place(self) -> "StackSource":
        """Refuse energies that are given twice."""
        only_one(self, "energies", "energy_dataset")
        return self


def only_one(source: Settings, table: str, dataset: str) -> None:
    """Refuse a value that is given both directly and as a path in the file."""
    if getattr(source, table) is not None and getattr(source, dataset) is not None:
        raise rejected(f"one of '{table}' and '{dataset}'", "both", "remove one", key=dataset)


class ReferenceSource(Settings):
    """One reference spectrum: a path, or a mapping if the file contains several."""

    file: str = setting(..., "file of the spectrum: XDI, CSV, text with two columns, or an Athena project")
    group: str | None = setting(None, "name of the group in an Athena project, or of the absorption column")
    name: str | None = setting(None, "name in tables and figures; empty: name of the group or file")
    energy_unit: Literal["eV", "keV"] | None = setting(
        None, "unit of the energies; empty: same rule as for stacks"
    )
    energy_shift_ev: float = setting(
        0.0,
        "energy to add, which brings the spectrum to the energy scale of the others",
        unit="eV",
        ge=-50.0,
        le=50.0,
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, data: Any) -> Any:
        """Accept a path instead of the mapping."""
        return {"file": str(data)} if isinstance(data, str | Path) else data

    @field_validator("name")
    @classmethod
    def _shown(cls, value: str | None) -> str | None:
        """Check the name, which is shown in pages and tables."""
        return None if value is None else checked_name(value)

    @field_validator("file", mode="after")
    @classmethod
    def _below_the_configuration(cls, value: str, info: ValidationInfo) -> str:
        """Resolve the path relative to the configuration file."""
        if not value.strip():
            raise rejected("a path", "an empty string", "give the path of the reference spectrum")
        return below_configuration(value, info)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe both the path and the mapping."""
        mapping = handler.resolve_ref_schema(handler(core_schema))
        return {"title": cls.__name__, "description": cls.__doc__, "anyOf": [{"type": "string"}, mapping]}

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        return self.name or self.group or Path(self.file).stem


def source_files(source: ImageSource) -> list[Path]:
    """Return all files and folders of a series, a stack or a volume."""
    if not isinstance(source, RawFrames):
        named = [getattr(source, key, None) for key in ("excitation", "emission", "flux")]
        columns = [column.file for column in getattr(source, "columns", {}).values()]
        tables = [Path(table) for table in (*named, *columns) if isinstance(table, str)]
        return list(dict.fromkeys([*expand(source.images), *tables]))
    table = getattr(source, "angles", None) or getattr(source, "energies", None)
    tables = [Path(table)] if isinstance(table, str) else []
    return [*expand(source.images), *expand(source.flat), *expand(source.dark), *tables]
