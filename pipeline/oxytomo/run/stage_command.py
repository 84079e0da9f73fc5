"""The command ``oxytomo stage``: check inputs and settings, call the stage, record outputs."""

import argparse
import json
import os
import re
import resource
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from oxytomo import __version__
from oxytomo.config import config_error
from oxytomo.errors import ConfigError
from oxytomo.io.ways_out import make_folder, open_log
from oxytomo.run.boundary import ERROR_PREFIX, guarded, require_folder, user_error
from oxytomo.stages.context import StageContext
from oxytomo.stages.progress import format_duration
from oxytomo.stages.registry import STAGES

DESCRIPTION = (
    "Run one stage on given inputs. The rules of the workflow call this command; you rarely need to."
)
EXAMPLES = """\
example:
  oxytomo stage classify --in reconstruct=r.zarr uncertainty=u.zarr --out store=classify.zarr \\
    --spec '{"version": 1, "settings": {"threshold": 0.05, "confidence": 0.95}}'"""

THREAD_VARIABLES = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("name", help=f"one of {', '.join(STAGES)}")
    parser.add_argument("--in", dest="inputs", metavar="KEY=PATH", nargs="*", action="extend", default=[])
    parser.add_argument(
        "--out", dest="outputs", metavar="KEY=PATH", nargs="+", action="extend", required=True
    )
    parser.add_argument("--spec", required=True, metavar="JSON", help='{"version": …, "settings": {…}}')
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--label", default="", metavar="TEXT", help="name of this run in messages")
    parser.add_argument("--log", type=Path, default=None, metavar="FILE")


def run(arguments: argparse.Namespace) -> int:
    """Run a stage and return the exit code."""
    log_file: TextIO | None = None
    with ExitStack() as stack:
        try:
            if arguments.log is not None:
                log_file = open_log(arguments.log)
                stack.callback(_close, log_file)
            _run_stage(arguments, log_file)
        except Exception as error:
            said = user_error(error, arguments.outputs[0])
            if said is not None:
                _write_everywhere(f"{ERROR_PREFIX}{said}\n", log_file)
                return 2
            if log_file is not None:
                log_file.write(traceback.format_exc())
            raise
    return 0


def run_command(texts: Sequence[str]) -> int:
    """Run ``oxytomo stage`` with its arguments and return the exit code."""

    def command() -> int:
        parser = argparse.ArgumentParser(prog="oxytomo stage", description=DESCRIPTION)
        add_arguments(parser)
        arguments = parser.parse_args(texts)
        require_folder()
        return run(arguments)

    return guarded(command)


def _run_stage(arguments: argparse.Namespace, log_file: TextIO | None) -> None:
    """Parse the arguments, import the stage and call it."""
    stage = arguments.name
    if stage not in STAGES:
        known = ", ".join(STAGES)
        raise ConfigError("stage", expected=f"one of {known}", got=repr(stage), fix="correct its name")
    inputs = {key: path.absolute() for key, path in parse_keyed(arguments.inputs, default_key=None).items()}
    outputs = parse_keyed(arguments.outputs, default_key="store")
    threads = max(1, arguments.threads)
    # Else it has read them, and the server of stages has limited the threads
    if "numba" not in sys.modules:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    spec = _parsed_spec(stage, arguments.spec)
    module = STAGES[stage].load()
    try:
        settings = STAGES[stage].settings_model().model_validate(spec)
    except ValidationError as error:
        raise config_error(error, spec, name=f"--spec of {stage}") from None
    for path in outputs.values():
        make_folder(path.parent)
    _check_inputs(inputs)
    context = StageContext(
        stage=stage,
        version=STAGES[stage].version,
        threads=threads,
        settings_json=spec,
        log_file=log_file,
        label=arguments.label or stage,
    )
    context.note(
        f"stage version {context.version}, oxytomo {__version__}; {threads} thread{'s' * (threads != 1)} on "
        f"{socket.gethostname()}, {peak_memory_mb():.0f} MB at the start"
    )
    started, computed = time.monotonic(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, *_args, **_kwargs: context.log(f"warning: {message}")
        module.run(inputs, outputs, settings, context)
    more = module.more_outputs(outputs) if hasattr(module, "more_outputs") else {}
    _record_outputs(inputs, {**outputs, **more}, context)
    duration = format_duration(time.monotonic() - started)
    computing = format_duration(time.process_time() - computed)
    context.log(f"done in {duration}, {computing} of computing, peak memory {peak_memory_mb():.0f} MB")


def _check_inputs(inputs: dict[str, Path]) -> None:
    """Refuse inputs that were changed after their stage wrote them.

    The readers check a whole results folder.
    """
    from oxytomo.io.integrity import check_unaltered
    from oxytomo.io.provenance import record_file, store_record

    for path in inputs.values():
        if store_record(path) is not None or record_file(path).is_file():
            check_unaltered(path)


def _record_outputs(inputs: dict[str, Path], outputs: dict[str, Path], context: StageContext) -> None:
    """Write a provenance record for every output, for ``oxytomo verify`` and ``inspect``."""
    from oxytomo.io.integrity import record_output
    from oxytomo.io.provenance import store_record

    # The report reads a whole results folder, in which each result has its own record.
    sources = {name: path for name, path in inputs.items() if path.is_file() or store_record(path)}
    provenance = context.provenance(sources)
    for path in filter(Path.exists, outputs.values()):
        record_output(path, provenance)


def _parsed_spec(stage: str, text: str) -> dict[str, Any]:
    """Return the settings of a spec after checking its version."""
    try:
        spec = json.loads(text)
        version, settings = spec["version"], dict(spec["settings"])
    except (ValueError, KeyError, TypeError) as error:
        expected = 'JSON like {"version": 1, "settings": {}}'
        raise ConfigError("--spec", expected=expected, got=text[:60], fix="correct the text") from error
    if version != STAGES[stage].version:
        raise ConfigError(
            "--spec",
            expected=f"version {STAGES[stage].version} of the stage {stage}",
            got=f"version {version}",
            fix="run the workflow of the installed package",
        )
    return settings


def parse_keyed(texts: Sequence[str], *, default_key: str | None) -> dict[str, Path]:
    """Return ``key=path`` arguments as a mapping.

    A path without a key gets ``default_key``, if there is one.
    """
    paths: dict[str, Path] = {}
    for text in texts:
        key, separator, path = text.partition("=")
        if not separator or not key.isidentifier():
            if default_key is None:
                raise ConfigError("--in", expected="key=path", got=text, fix="name the input")
            key, path = default_key, text
        if key in paths:
            raise ConfigError(
                "--in or --out", expected="every key once", got=f"'{key}' twice", fix="remove one"
            )
        paths[key] = Path(path)
    return paths


def peak_memory_mb() -> float:
    """Return the peak memory of this process, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would include the memory of the parent program
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii", errors="replace"))
        if found:
            return int(found.group(1)) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _close(log_file: TextIO) -> None:
    """Close a log; errors of a full disk have been reported already."""
    with suppress(OSError):
        log_file.close()


def _write_everywhere(text: str, log_file: TextIO | None) -> None:
    """Write to standard error and to the log, if there is one.

    A full disk must not hide the message.
    """
    sys.stderr.write(text)
    sys.stderr.flush()
    if log_file is not None:
        try:
            log_file.write(text)
            log_file.flush()
        except OSError as error:
            sys.stderr.write(f"the log could not be written: {error.strerror}\n")
