"""The ``oxytomo`` command."""

import argparse
import importlib
import sys
from collections.abc import Sequence

import pipeline
from pipeline.errors import OutOfMemoryError, PipelineError

_DESCRIPTION = "From raw tilt series of a particle to maps of its composition, tables and a report."
_EPILOG = """\
a first look, from nothing to a report:
  oxytomo simulate demo            write a simulated acquisition and its configuration to demo/
  oxytomo check demo/config.yaml   what is in the raw files, what would run, how long it takes
  oxytomo run demo/config.yaml     run everything; after a change, again: only what depends on it is repeated
  oxytomo inspect demo/raw/O_K_pre.h5

your own data: copy a commented example from configs/, give the paths of your files, then check and run.
exit codes: 0 done; 2 something to correct, one line says what; 1 a fault of the program.
"""

_COMMANDS = {
    "run": "run the workflow on a configuration",
    "align": "align the series of a configuration, say how well it went, and stop",
    "check": "validate a configuration and its raw files; say what would run and what it needs",
    "inspect": "show what is in a raw file or a result, and where it comes from",
    "plan": "say before a beam time what a measurement can tell, and what faults would do",
    "simulate": "write a simulated acquisition with its truth and a configuration",
    "view": "open results in napari: everything layered, scaled, coloured",
    "report": "write the report of results again; several folders give a comparison",
    "render": "draw a sample in three dimensions: pictures, model, page to turn, movie",
    "verify": "recompute the digests of results and name what was altered, cut short or is missing",
    "schema": "print the JSON schema of the configuration",
    "stage": "run one stage (what the workflow calls)",
}
"""Each command is the module of the same name beside this one."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line with every command."""
    parser = argparse.ArgumentParser(
        prog="oxytomo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"oxytomo {pipeline.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, purpose in _COMMANDS.items():
        module = importlib.import_module(f"pipeline.cli.{name}")
        command = commands.add_parser(
            name,
            help=purpose,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(function=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    What a user can correct is one line on standard error and exit code 2; anything else keeps its traceback.
    """
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.function(arguments))
    except PipelineError as error:
        sys.stderr.write(f"oxytomo: error: {error}\n")
        return 2
    except MemoryError as error:
        sys.stderr.write(f"oxytomo: error: {OutOfMemoryError.of(error)}\n")
        return 2
    except BrokenPipeError:
        # The reader of a pipe (head, less) has left; there is nobody to tell.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("oxytomo: stopped; run the same command again to continue\n")
        return 130
