"""``oxytomo schema``: print the JSON schema of the configuration, its defaults, or an example."""

import argparse
import json
import sys
from importlib.resources import files

from oxytomo.config.schema import default_yaml, expert_yaml, schema
from oxytomo.errors import ConfigError

DESCRIPTION = """\
Print the JSON schema of the configuration. An editor that loads it completes and checks your configuration
as you type."""
EXAMPLES = """\
examples:
  oxytomo schema > schema.json
  oxytomo schema --defaults > my.yaml   a commented configuration with the defaults, to start from
  oxytomo schema --expert               the settings that few users need
  oxytomo schema --example              the names of the examples, by branch and instrument
  oxytomo schema --example oxidation_bessy_u41 > my.yaml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--defaults", action="store_true", help="print a commented configuration with all defaults"
    )
    choice.add_argument(
        "--expert", action="store_true", help="list the expert settings, which --defaults omits"
    )
    choice.add_argument(
        "--example",
        nargs="?",
        const="",
        metavar="NAME",
        help="print a commented example; without NAME: list the examples",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the requested text to standard output."""
    if arguments.example is not None:
        sys.stdout.write(example(arguments.example) if arguments.example else "\n".join(examples()) + "\n")
    elif arguments.expert:
        sys.stdout.write(expert_yaml())
    else:
        sys.stdout.write(default_yaml() if arguments.defaults else schema_text())
    return 0


def examples() -> list[str]:
    """Return the names of the example configurations in the package."""
    found = (path.name for path in (files("oxytomo") / "configs").iterdir())
    names = (name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))
    return sorted(name for name in names if name != "default")


def example(name: str) -> str:
    """Return the text of an example configuration.

    Parameters
    ----------
    name : one of :func:`examples`
    """
    known = examples()
    if name not in known:
        raise ConfigError(
            "--example",
            expected=f"one of {', '.join(known)}",
            got=name,
            fix="give one of these names, or none to list them",
        )
    return (files("oxytomo") / "configs" / f"{name}.yaml").read_text(encoding="utf-8")


def schema_text() -> str:
    """Return the schema as the text of ``configs/schema.json``."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
