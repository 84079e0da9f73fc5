"""The ``oxytomo`` command."""

# Few modules are imported here, so that Ctrl-C works from the first line of `main` on.
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_DESCRIPTION = (
    "Maps of the composition of battery-cathode particles from raw X-ray tilt series, "
    "with tables and a report."
)
_EPILOG = """\
a first example, with simulated data:
  oxytomo simulate demo            write a simulated acquisition and its configuration to demo/
  oxytomo check demo/config.yaml   check the raw files, list the stages and their run time
  oxytomo run demo/config.yaml     run all stages; after a change, only what depends on it runs again
  oxytomo inspect demo/raw/O_K_pre.h5

your own data:
  oxytomo init FOLDER              look at the raw files and write a configuration; then check and run it
exit codes: 0 success; 2 an error that you can correct, explained in one line; 1 a fault of the program.
"""

_COMMANDS = {
    "run": "run the workflow on a configuration",
    "align": "align the series of a configuration, report the quality, and stop",
    "check": "validate a configuration and its raw files; list the stages and what they need",
    "init": "write a commented configuration for a folder of raw files",
    "watch": "take a quick look at each scan of a beam time as it completes",
    "inspect": "show the content and the provenance of a raw file or a result",
    "plan": "estimate before a beam time what a measurement can detect, and the effect of faults",
    "simulate": "write a simulated acquisition with its ground truth and a configuration",
    "view": "open results in napari, scaled and coloured",
    "report": "write the report of a sample again, or compare several samples",
    "collect": "write one table of many samples: numbers, intervals, warnings",
    "render": "draw a sample in 3D: pictures, model, interactive page, movie",
    "gitt": "diffusivity of lithium from the file of a battery cycler (GITT)",
    "verify": "check the digests of results; list changed, truncated and missing files",
    "clean": "list intermediate results with their sizes, and delete them on request",
    "completion": "print a script that completes commands and options in a shell",
    "schema": "print the JSON schema of the configuration",
    "stage": "run one stage (called by the workflow)",
}
"""Each command is the module of the same name in this package."""


def build_parser(only: str | None = None) -> "argparse.ArgumentParser":
    """Return the parser of the command line.

    Parameters
    ----------
    only : the one command whose options are needed, the others get a name and a purpose alone; None
        for the options of all, empty for those of none
    """
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
        if only is not None and name != only:
            commands.add_parser(name, help=purpose)
            continue
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
    """Run the command line and return the exit code.

    An error that the user can correct is one line on standard error with exit code 2. Any other
    error keeps its traceback.
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

    if argv is None:  # called as a program, not by a test or another program
        sys.excepthook = show_traceback
        require_to_start()
        prepare_caches()
    words = sys.argv[1:] if argv is None else argv
    # Only the module of the command is loaded: all of them together take most of a second.
    command = next((word for word in words if not word.startswith("-")), "")
    arguments = build_parser(command).parse_args(words)
    require_folder()
    return int(arguments.function(arguments))
