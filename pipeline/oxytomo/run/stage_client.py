"""Pass a stage to the server of stages (``stage_server``), if there is one.

This module imports very little.
"""

import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

ADDRESS = "OXYTOMO_STAGE_SERVER"
"""The environment variable with the name of the server's socket."""
BEGUN = b"+"
LENGTH = struct.Struct("!Q")
_KILLED = 137


def in_no_folder(name: str) -> str:
    """Return the address of an abstract socket (Linux), which leaves no file."""
    return f"\0{name}"


def run_in_server(arguments: Sequence[str]) -> int | None:
    """Let the server run a command, and wait until it ends.

    Parameters
    ----------
    arguments : the command line without the program

    Returns
    -------
    The exit code; 137 if the process was killed; None if there was no server and the command did
    not run.
    """
    address = os.environ.get(ADDRESS)
    if address is None:
        return None
    request = json.dumps(
        {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    ).encode()
    connection = socket.socket(socket.AF_UNIX)
    with connection:
        try:
            connection.connect(in_no_folder(address))
            socket.send_fds(
                connection, [LENGTH.pack(len(request))], [sys.stdout.fileno(), sys.stderr.fileno()]
            )
            connection.sendall(request)
            begun = connection.recv(1) == BEGUN
        except OSError:
            begun = False
        if not begun:
            return None
        # The stage ends with this process, because its process sees the closed connection.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            code = connection.recv(1)
        except OSError:
            code = b""
    if code:
        return code[0]
    _say_killed(arguments)
    return _KILLED


def _say_killed(arguments: Sequence[str]) -> None:
    """Report the end of a stage that could not report it itself, here and in its log."""
    options = dict(pairwise(arguments))
    said = (
        f"oxytomo: error: {options.get('--label', arguments[1])}: expected the stage to end by itself, got its process "
        "killed; free memory (oxytomo check says what a stage needs) or use fewer cores, and run again\n"
    )
    sys.stderr.write(said)
    log = Path(options.get("--log", os.devnull))
    if log.is_file():
        with suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.write(said)
