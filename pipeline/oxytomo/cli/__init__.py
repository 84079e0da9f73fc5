"""The ``oxytomo`` command."""

# Next to nothing is imported here: Ctrl-C counts from the first line of `main` on.
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_DESCRIPTION = "From raw tilt series of a particle to maps of its composition, tables and a report."
_EPILOG = """\
a first look, from nothing to a report:
  oxytomo simulate demo            write a simulated acquisition and its configuration to demo/
  oxytomo check demo/config.yaml   what is in the raw files, what would run, how long it takes
  oxytomo run demo/config.yaml     run everything; after a change, again: only what depends on it is repeated
  oxytomo inspect demo/raw/O_K_pre.h5

your own data:
  oxytomo init FOLDER              look at the raw files and write a configuration; then check and run it
exit codes: 0 done; 2 something to correct, one line says what; 1 a fault of the program.
"""

_COMMANDS = {
    "run": "run the workflow on a configuration",
    "align": "align the series of a configuration, say how well it went, and stop",
    "check": "validate a configuration and its raw files; say what would run and what it needs",
    "init": "look at a folder of raw files and write a commented configuration for them",
    "inspect": "show what is in a raw file or a result, and where it comes from",
    "plan": "say before a beam time what a measurement can tell, and what faults would do",
    "simulate": "write a simulated acquisition with its truth and a configuration",
    "view": "open results in napari: everything layered, scaled, coloured",
    "report": "write the report of results again; several folders give a comparison",
    "render": "draw a sample in three dimensions: pictures, model, page to turn, movie",
    "verify": "recompute the digests of results and name what was altered, cut short or is missing",
    "clean": "list intermediate results with their sizes, and delete them where that is asked for",
    "completion": "print a script that completes commands and options in a shell",
    "schema": "print the JSON schema of the configuration",
    "stage": "run one stage (what the workflow calls)",
}
"""Each command is the module of the same name beside this one."""


def build_parser() -> "argparse.ArgumentParser":
    """Return the parser of the command line with every command."""
    import argparse
    import importlib

    import oxytomo

    parser = argparse.ArgumentParser(
        prog="oxytomo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"oxytomo {oxytomo.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, purpose in _COMMANDS.items():
        module = importlib.import_module(f"oxytomo.cli.{name}")
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


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the command line; returns the exit code.

    What a user can correct is one line on standard error and exit code 2; anything else keeps its traceback.
    """
    try:
        from oxytomo.run.boundary import guarded

        return guarded(lambda: _run(argv))
    except KeyboardInterrupt:
        sys.stderr.write("oxytomo: stopped; run the same command again to continue\n")
        return 130


def _run(argv: "Sequence[str] | None") -> int:
    """Find the command and call it."""
    from oxytomo.run.boundary import require_folder, show_traceback
    from oxytomo.run.caches import prepare_caches
    from oxytomo.run.limits import require_to_start

    if argv is None:  # the program itself, not a test or another program that calls it
        sys.excepthook = show_traceback
        require_to_start()
        prepare_caches()
    arguments = build_parser().parse_args(argv)
    require_folder()
    return int(arguments.function(arguments))
