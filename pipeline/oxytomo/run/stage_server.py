"""A process that has every stage loaded and forks one process per stage: a run on one computer starts Python once.

Loading Python, libraries and stages takes about a second, sixteen times in a small run. The workflow's rules call
``oxytomo stage`` as ever; where ``oxytomo run`` has started a server, that command hands itself over and waits.
Without a server, or when it has died, the command runs the stage itself.
"""

import atexit
import fcntl
import gc
import json
import os
import secrets
import selectors
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from oxytomo.run.boundary import show_traceback
from oxytomo.run.stage_client import ADDRESS, BEGUN, LENGTH, in_no_folder
from oxytomo.run.stage_command import THREAD_VARIABLES, run_command
from oxytomo.stages.registry import STAGES

_LIFELINE = 0
_WAITING_CLIENTS = 64
_CREDENTIALS = struct.Struct("3i")
_ENDED_BY_CLIENT = 137


@dataclass(frozen=True)
class StageServer:
    """How to reach a server: variables for the environment of the workflow; a descriptor that it has to inherit.

    The server lives as long as a process that holds the descriptor.
    """

    environment: dict[str, str]
    descriptors: tuple[int, ...]


@contextmanager
def stage_server(cores: int, *, wanted: bool = True) -> Iterator[StageServer]:
    """Start a server for the time of the block, where the system can do so safely (Linux) and one is wanted.

    Parameters
    ----------
    cores : the largest number of threads that a stage will ask for
    wanted : without it nothing is started, and stages run by themselves
    """
    if not wanted or not sys.platform.startswith("linux"):
        yield StageServer({}, ())
        return
    address = f"oxytomo-{secrets.token_hex(16)}"
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as lifeline, os.fdopen(writing, "wb"):
        with socket.socket(socket.AF_UNIX) as listener:
            # Clients can connect from now on, and wait until all is loaded.
            listener.bind(in_no_folder(address))
            listener.listen(_WAITING_CLIENTS)
            server = subprocess.Popen(
                [sys.executable, "-P", "-m", "oxytomo.run.stage_server", str(listener.fileno())],
                stdin=lifeline,
                pass_fds=(listener.fileno(),),
                # OpenBLAS would start its threads at once: they are set for each stage, after the fork.
                env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(cores)) | {"OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        try:
            yield StageServer({ADDRESS: address}, (writing,))
        finally:
            server.kill()
            server.wait()


def main() -> None:
    """Load every stage, then fork a process for each connection until the run has ended.

    A process with threads must not fork (a library's lock may be held, or its threads waited for): should something that
    was loaded have started one, the server ends, and the stages run by themselves.
    """
    with socket.socket(fileno=int(sys.argv[1])) as listener, selectors.DefaultSelector() as selector:
        try:
            _load()
        except Exception:  # the stages, which then run by themselves, say what is wrong
            return
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            return
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(_LIFELINE, selectors.EVENT_READ)
        while all(key.fileobj is listener for key, _ in selector.select()):
            connection, _ = listener.accept()
            with (
                connection,
                suppress(OSError),
            ):  # without room for a process the stage runs in that of the client
                if _user_of(connection) == os.getuid() and os.fork() == 0:
                    selector.close()
                    listener.close()
                    _serve(connection)


def _user_of(connection: socket.socket) -> int:
    """Return the user behind a connection: others can see the address, too."""
    _, user, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return int(user)


def _load() -> None:
    """Import every stage and set the compiler up, which loads compiled code too; no thread is started."""
    from numba import njit

    for stage in STAGES.values():
        stage.load()
    njit(lambda number: number)(1)
    gc.collect()
    gc.freeze()  # the collector would touch, and so copy, every page that the processes share


def _serve(connection: socket.socket) -> None:
    """Run one command in this process, which ends with it, or with the client."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with suppress(OSError, ValueError):  # a client that is gone before it has said what it wants
            arguments = _take_over(connection)
            _end_with_client(connection)
            code = _run(arguments)
            _end_with_client(connection, on=False)
            connection.sendall(bytes([code & 0xFF]))
    finally:
        os._exit(code)


def _take_over(connection: socket.socket) -> list[str]:
    """Become the process that the client would have been: its folder, environment, output and threads."""
    head, (out, error), _, _ = socket.recv_fds(connection, LENGTH.size, 2, socket.MSG_WAITALL)
    with connection.makefile("rb") as stream:
        request = json.loads(stream.read(*LENGTH.unpack(head.ljust(LENGTH.size, b"\0"))))
    connection.sendall(BEGUN)
    os.dup2(out, sys.stdout.fileno())
    os.dup2(error, sys.stderr.fileno())
    # The streams of the server may be files that can be wound back, and what they lead to now a pipe, or the reverse.
    sys.stdout, sys.stderr = (_opened_again(stream) for stream in (sys.stdout, sys.stderr))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), _LIFELINE)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    arguments = list(request["arguments"])
    _limit_threads(int(dict(pairwise(arguments)).get("--threads", "1")))
    return arguments


def _opened_again(stream: TextIO) -> TextIO:
    """Return a stream to where the file descriptor of another leads now."""
    return os.fdopen(
        stream.fileno(), "w", buffering=1, encoding=stream.encoding, errors=stream.errors, closefd=False
    )


def _limit_threads(threads: int) -> None:
    """Limit the libraries, which have read the environment already, to a number of threads."""
    from numba import config, set_num_threads
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    # The compiler reads it again, and refuses another number than it knows once threads run.
    os.environ["NUMBA_NUM_THREADS"] = str(config.NUMBA_NUM_THREADS)
    set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
    threadpool_limits(threads)


def _end_with_client(connection: socket.socket, *, on: bool = True) -> None:
    """Let the system end this process as soon as the client hangs up; no Python has to run for that."""
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    if not on:
        fcntl.fcntl(connection, fcntl.F_SETFL, flags & ~os.O_ASYNC)
        return
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    with suppress(BlockingIOError):
        if not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            os._exit(_ENDED_BY_CLIENT)  # gone before


def _run(arguments: list[str]) -> int:
    """Run the command line as ``python -m oxytomo`` does."""
    code = 1
    try:
        code = run_command(arguments[1:])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        show_traceback(*sys.exc_info())
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return code


if __name__ == "__main__":
    main()
