"""``oxytomo schema``: print the JSON schema of the configuration."""

import argparse
import json
import sys

from oxytomo.config.schema import default_yaml, expert_yaml, schema

DESCRIPTION = """\
Print the JSON schema of the configuration. An editor that knows it completes and checks as you type."""
EXAMPLES = """\
examples:
  oxytomo schema > schema.json
  oxytomo schema --defaults > my.yaml   a commented configuration with the defaults, to start from"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--defaults", action="store_true", help="print a commented configuration with the defaults instead"
    )
    instead.add_argument(
        "--expert", action="store_true", help="list the expert settings, which --defaults leaves out, instead"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the schema to standard output."""
    if arguments.expert:
        sys.stdout.write(expert_yaml())
    else:
        sys.stdout.write(default_yaml() if arguments.defaults else schema_text())
    return 0


def schema_text() -> str:
    """Return the schema as the text of ``configs/schema.json``."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
