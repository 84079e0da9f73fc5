"""Checks of the public functions with the settings models of the stages."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ValidationError

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.config import config_error
from oxytomo.errors import ShapeError

Model = TypeVar("Model", bound=BaseModel)
Options = TypeVar("Options")


def checked(model: type[Model], function: str, **values: Any) -> Model:
    """Return settings after checking them with their model.

    Parameters
    ----------
    model : the settings model of the stage
    function : name of the public function for the error
    values : values by names of the settings

    Raises
    ------
    ConfigError
        For a value that the model refuses: one line.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise config_error(error, values, name=f"the call of {function}") from error


def options_of(kind: type[Options], settings: BaseModel, **more: Any) -> Options:
    """Return a data class for numerical code; its fields are the settings of the same names.

    Parameters
    ----------
    kind : the data class
    settings : a settings model
    more : further fields, which are not settings
    """
    names = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: more[name] if name in more else getattr(settings, name) for name in names})


def projections_of(values: ArrayLike, name: str = "projections") -> tuple[FloatArray, bool]:
    """Return projections as (n_tilt, n_z, n_x) float32, and True if they are of one slice.

    Parameters
    ----------
    values : (n_tilt, n_z, n_x) or (n_tilt, n_x), NumPy or xarray
    name : their name in the error
    """
    array = np.asarray(values)
    if array.ndim not in (2, 3) or 0 in array.shape or array.dtype.kind not in "biuf":
        raise ShapeError(
            name,
            expected="numbers of shape (n_tilt, n_z, n_x), or (n_tilt, n_x) for one slice",
            got=f"shape {array.shape}, type {array.dtype}",
            fix="put the tilts on the first axis and the detector columns on the last",
        )
    single = array.ndim == 2
    return np.asarray(array[:, None] if single else array, np.float32), single


def volume_of(values: Any, name: str = "volume") -> tuple[FloatArray, bool]:
    """Return a volume as (n_z, n_y, n_x) float32, and True if it was one slice.

    Parameters
    ----------
    values : (n_z, n_y, n_x) or (n_y, n_x), NumPy or xarray, or the field of a large file
    name : its name in the error
    """
    on_disk = hasattr(values, "shape") and not hasattr(values, "__array__")
    array = np.asarray(values[:] if on_disk else values)
    if array.ndim not in (2, 3) or 0 in array.shape or array.dtype.kind not in "biuf":
        raise ShapeError(
            name,
            expected="numbers of shape (n_z, n_y, n_x), or (n_y, n_x) for one slice",
            got=f"shape {array.shape}, type {array.dtype}",
            fix="give one volume of grey values",
        )
    single = array.ndim == 2
    return np.asarray(array[None] if single else array, np.float32), single


def per_tilt(values: ArrayLike, n_tilt: int, name: str, unit: str) -> Float64Array:
    """Return one finite number per tilt, (n_tilt,) float64.

    Parameters
    ----------
    values : (n_tilt,)
    n_tilt : number of projections
    name, unit : their name and unit in the error
    """
    array = np.asarray(values, np.float64)
    if array.shape != (n_tilt,) or not np.isfinite(array).all():
        raise ShapeError(
            name,
            expected=f"{n_tilt} finite numbers in {unit}, one per projection",
            got=f"shape {array.shape}"
            + ("" if np.isfinite(array).all() else f" with {int((~np.isfinite(array)).sum())} not finite"),
            fix="give one for each projection, in the same order",
        )
    return array


def same_shape(values: ArrayLike, shape: tuple[int, ...], name: str, other: str) -> FloatArray:
    """Return an array as float32 after checking that its shape matches another array.

    Parameters
    ----------
    values : array
    shape : shape of the other
    name, other : names of the two in the error
    """
    array = np.asarray(values)
    if array.shape != shape:
        raise ShapeError(
            name,
            expected=f"the shape of {other}, {shape}",
            got=f"{array.shape}",
            fix=f"give one value for each of {other}",
        )
    return np.asarray(array, np.float32)


def require_made(value: Any, kind: type, name: str, maker: str) -> None:
    """Refuse an argument that is not what another function of the library returns.

    Parameters
    ----------
    value : the argument
    kind : its type
    name : how the error calls it
    maker : the function that makes it
    """
    if not isinstance(value, kind):
        got = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ShapeError(
            name, expected=f"the {kind.__name__} of {maker}", got=got, fix=f"give what {maker} returns"
        )


def table(columns: Mapping[str, Any]) -> Any:
    """Return columns as a pandas DataFrame."""
    from pandas import DataFrame

    return DataFrame({name: np.asarray(column) for name, column in columns.items()})


def silent(done: int, total: int) -> None:
    """Progress function of the public functions, which shows nothing."""
