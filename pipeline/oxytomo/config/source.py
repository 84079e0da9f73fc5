"""Where one raw series comes from."""

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
    """Files that hold images: a path, or a mapping where the files do not say everything.

    Paths may contain ``*`` and ``?``. A plain string stands for ``images``.
    """

    images: tuple[str, ...] = setting(..., "file, folder, pattern, or a list of them", min_length=1)
    dataset: str | None = setting(
        None, "path of the images inside an HDF5 file, where it is not found by itself"
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, data: Any) -> Any:
        """Accept a plain path in place of the mapping."""
        if isinstance(data, str | Path):
            return {"images": (str(data),)}
        if not isinstance(data, dict | ImageSource):
            raise rejected("a path or a mapping with 'images'", repr(data), "give the path of the raw file")
        return data

    @field_validator("images", "flat", "dark", mode="before", check_fields=False)
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        """Accept one path in place of a list."""
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
        """Describe the plain path as well as the mapping."""
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
        None, "size of a raw file without header, slowest axis first (z, y, x)", unit="voxels"
    )
    dtype: RawDtype | None = setting(None, "type of the values of a raw file without header")
    byte_order: Literal["little", "big"] = setting("little", "byte order of a raw file without header")
    header_bytes: int = setting(0, "bytes before the values of a raw file", unit="bytes", ge=0, le=COUNT)

    @model_validator(mode="after")
    def _shape_and_type_together(self) -> "VolumeSource":
        """A raw file needs both, every other file neither."""
        if (self.shape is None) != (self.dtype is None):
            missing, given = ("dtype", "shape") if self.dtype is None else ("shape", "dtype")
            raise rejected(f"'{missing}' beside '{given}'", "none", "a raw file needs both", key=missing)
        if self.shape is not None and (len(self.shape) not in (2, 3) or min(self.shape) < 1):
            raise rejected("two or three positive sizes", str(self.shape), "correct it", key="shape")
        return self


class RawFrames(ImageSource):
    """Raw frames with what the files may not say of them."""

    flat: tuple[str, ...] | None = setting(None, "flat (empty) frames, where they are in files of their own")
    dark: tuple[str, ...] | None = setting(None, "dark frames, where they are in files of their own")
    pixel_nm: float | None = setting(
        None,
        "object-plane pixel size, where the file does not say",
        unit="nm",
        ge=PIXEL_NM[0],
        le=PIXEL_NM[1],
    )
    quantity: Quantity | None = setting(None, "what the pixels hold, where the file does not say")
    offset: float = setting(
        0.0, "number added to every pixel before anything else", unit="pixel value", ge=-COUNT, le=COUNT
    )
    flat_dataset: str | None = setting(
        None, "path of the flat frames inside the HDF5 file, or inside those of 'flat'"
    )
    dark_dataset: str | None = setting(
        None, "path of the dark frames inside the HDF5 file, or inside those of 'dark'"
    )
    energy_dataset: str | None = setting(
        None, "path of the photon energies inside the HDF5 file, one per frame or one for all"
    )


LineEnergy = Annotated[float, Field(ge=0.0, le=ENERGY_EV[1])]


class SpectrumSettings(Settings):
    """Which counts of a spectrum image (EDS, EELS) make the map of an element."""

    window_ev: tuple[LineEnergy, LineEnergy] = setting(
        ..., "energies of the line or edge, [low, high)", unit="eV"
    )
    background_ev: tuple[tuple[LineEnergy, LineEnergy], ...] = setting(
        (),
        "energies without lines: two windows around the line for linear, one below the edge for power_law",
        unit="eV",
    )
    background: Literal["none", "linear", "power_law"] | None = setting(
        None, "law of the background; empty: none, power_law or linear for none, one or two windows"
    )

    @model_validator(mode="after")
    def _windows_fit_the_law(self) -> "SpectrumSettings":
        """Require rising windows, and as many for the background as its law takes."""
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
        """The law of the background, from the number of windows where none is given."""
        laws: tuple[Literal["none", "power_law", "linear"], ...] = ("none", "power_law", "linear")
        return self.background or laws[min(len(self.background_ev), 2)]


class Source(RawFrames):
    """One raw tilt series: a path, or a mapping where the file does not say everything."""

    angles: Angles | None = setting(None, "file with one tilt angle per frame, or {start, step}", unit="deg")
    angles_range: tuple[Frame, Frame] | None = setting(None, "use the angles [first, last) of the angle file")
    energy_ev: float | None = setting(
        None, "photon energy, where the file does not say", unit="eV", ge=ENERGY_EV[0], le=ENERGY_EV[1]
    )
    tilt_axis: Literal["vertical", "horizontal"] = setting(
        "vertical", "direction of the tilt axis in the frames as stored; horizontal frames are transposed"
    )
    spectrum: SpectrumSettings | None = setting(
        None,
        "spectrum images of electron microscopes: the window of energies that makes the map of this element",
    )
    complex_part: Literal["modulus", "phase"] | None = setting(
        None,
        "complex images: optical density from the modulus, or the phase; empty: the phase for phase maps, else the modulus",
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
        """Refuse angles, and energies, that are given twice."""
        _only_one(self, "angles", "angles_dataset")
        _only_one(self, "energy_ev", "energy_dataset")
        return self

    @model_validator(mode="after")
    def _range_needs_a_file(self) -> "Source":
        """``angles_range`` cuts an angle file, in order."""
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

    energies: str | None = setting(None, "table with one energy per frame, where the file does not say")
    energy_unit: Literal["eV", "keV"] | None = setting(
        None, "unit of the energies; empty: as the file says, and otherwise numbers below 100 are keV"
    )

    @field_validator("energies", mode="after")
    @classmethod
    def _energies_below_the_configuration(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Resolve the table of energies relative to the configuration file."""
        return None if value is None else below_configuration(value, info)

    @model_validator(mode="after")
    def _one_place(self) -> "StackSource":
        """Refuse energies that are given twice."""
        _only_one(self, "energies", "energy_dataset")
        return self


def _only_one(source: Settings, table: str, dataset: str) -> None:
    """Refuse a number that is given and named in the file."""
    if getattr(source, table) is not None and getattr(source, dataset) is not None:
        raise rejected(f"one of '{table}' and '{dataset}'", "both", "remove one", key=dataset)


class ReferenceSource(Settings):
    """One reference spectrum: a path, or a mapping where the file holds several."""

    file: str = setting(..., "XDI, CSV, two columns of text, or an Athena project")
    group: str | None = setting(None, "group of an Athena project, or name of the absorption column")
    name: str | None = setting(None, "name in tables and pictures; empty: the group or the file's name")
    energy_unit: Literal["eV", "keV"] | None = setting(None, "unit of the energies; empty: as for stacks")
    energy_shift_ev: float = setting(
        0.0,
        "number added to its energies, to bring it to the scale of the others",
        unit="eV",
        ge=-50.0,
        le=50.0,
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, data: Any) -> Any:
        """Accept a plain path in place of the mapping."""
        return {"file": str(data)} if isinstance(data, str | Path) else data

    @field_validator("name")
    @classmethod
    def _shown(cls, value: str | None) -> str | None:
        """Names are shown in pages and tables."""
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
        """Describe the plain path as well as the mapping."""
        mapping = handler.resolve_ref_schema(handler(core_schema))
        return {"title": cls.__name__, "description": cls.__doc__, "anyOf": [{"type": "string"}, mapping]}

    @property
    def label(self) -> str:
        """Name in tables and pictures."""
        return self.name or self.group or Path(self.file).stem


def source_files(source: ImageSource) -> list[Path]:
    """Return every file or folder that a series, a stack or a volume is read from."""
    if not isinstance(source, RawFrames):
        return expand(source.images)
    table = getattr(source, "angles", None) or getattr(source, "energies", None)
    tables = [Path(table)] if isinstance(table, str) else []
    return [*expand(source.images), *expand(source.flat), *expand(source.dark), *tables]
