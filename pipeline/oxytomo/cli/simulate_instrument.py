"""Effects of real instruments for ``oxytomo simulate``, from a file or ``--effect``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from oxytomo.config import config_error, read_yaml
from oxytomo.config.instrument import InstrumentSettings
from oxytomo.errors import ConfigError

if TYPE_CHECKING:
    from oxytomo.simulate.instrument import RealInstrument

EFFECTS = """\
effects of real instruments and samples (--effect NAME=VALUE, again for each; or a YAML file of them, --instrument):
{names}
  stray_edges, post_edge and rim_change take an element: post_edge.O=1.1
  oxytomo simulate sim --effect stray=0.02                      2 % stray light
  oxytomo simulate sim --effect film_nm=30 --effect film_hole_nm=500
  oxytomo simulate sim --effect rim_change.O=0.05 --effect rim_nm=100"""
_BY_ELEMENT = ("stray_edges", "post_edge", "rim_change")


def effects_help() -> str:
    """Return the list of all effects with their units, for ``--help``."""
    lines = []
    for name, field in InstrumentSettings.model_fields.items():
        extra = field.json_schema_extra
        unit = extra.get("unit") if isinstance(extra, dict) else None
        lines.append(f"  {name:17s} {field.description}" + (f" ({unit})" if unit else ""))
    return EFFECTS.format(names="\n".join(lines))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--effect",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="effect of a real instrument or sample, for example stray=0.015 or post_edge.O=1.1; may "
        "be repeated",
    )
    parser.add_argument(
        "--instrument", type=Path, default=None, metavar="FILE.yaml", help="file with such effects"
    )


def instrument_settings(arguments: argparse.Namespace) -> InstrumentSettings:
    """Return the effects; ``--effect`` overrides the file."""
    values: dict[str, Any] = read_yaml(arguments.instrument) if arguments.instrument else {}
    for text in arguments.effect:
        name, equals, value = text.partition("=")
        if not equals or not value.strip():
            raise ConfigError(
                "--effect", expected="NAME=VALUE", got=repr(text), fix="write, for example, stray=0.015"
            )
        key, dot, element = name.strip().partition(".")
        if bool(dot) != (key in _BY_ELEMENT):
            example = "post_edge.O=1.1" if key in _BY_ELEMENT else "stray=0.015"
            raise ConfigError(
                "--effect",
                expected=f"a name as in {example}",
                got=repr(text),
                fix="see oxytomo simulate --help",
            )
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed = value
        if dot:
            given = values.get(key)
            values[key] = (given if isinstance(given, dict) else {}) | {element: parsed}
        else:
            values[key] = parsed
    try:
        return InstrumentSettings.model_validate(values)
    except ValidationError as error:
        where = str(arguments.instrument) if arguments.instrument and not arguments.effect else "--effect"
        raise config_error(error, values, name=where) from None


def real_instrument(settings: InstrumentSettings) -> "RealInstrument":
    """Return the effects in the form that the simulation needs."""
    from oxytomo.simulate.instrument import RealInstrument

    return RealInstrument(**dict(settings))
