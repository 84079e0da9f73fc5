"""Server that loads all stages and forks one process per stage, so that Python starts once.

Loading Python, libraries and stages takes about a second, sixteen times in a small run. The rules
call ``oxytomo stage``, which passes the stage to the server of ``oxytomo run`` and waits. Without a
server the command runs the stage itself.
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
    """Connection to a server: environment variables for the workflow.

    The workflow inherits the descriptor.

    The server lives as long as a process that holds the descriptor.
    """

    environment: dict[str, str]
    descriptors: tuple[int, ...]


@contextmanager
def stage_server(cores: int, *, wanted: bool = True) -> Iterator[StageServer]:
    """Start a server for the duration of the block, on Linux and if wanted.

    Parameters
    ----------
    cores : largest number of threads of a stage
    wanted : False starts no server, so that stages run by themselves
    """
    if not wanted or not sys.platform.startswith("linux"):
        yield StageServer({}, ())
        return
    address = f"oxytomo-{secrets.token_hex(16)}"
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as lifeline, os.fdopen(writing, "wb"):
        with socket.socket(socket.AF_UNIX) as listener:
            # Clients can connect from here, and wait until everything is loaded.
            listener.bind(in_no_folder(address))
            listener.listen(_WAITING_CLIENTS)
            server = subprocess.Popen(
                [sys.executable, "-P", "-m", "oxytomo.run.stage_server", str(listener.fileno())],
                stdin=lifeline,
                pass_fds=(listener.fileno(),),
                # OpenBLAS would start its threads now; they are set for each stage after the fork.
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

    A process with threads must not fork, because locks of libraries may be held. If a library has
    started a thread, the server ends, and the stages run by themselves.
    """
    with socket.socket(fileno=int(sys.argv[1])) as listener, selectors.DefaultSelector() as selector:
        try:
            _load()
        except Exception:  # the stages then run by themselves and report the problem
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
            ):  # if no process can start, the stage runs in the client
                if _user_of(connection) == os.getuid() and os.fork() == 0:
                    selector.close()
                    listener.close()
                    _serve(connection)


def _user_of(connection: socket.socket) -> int:
    """Return the user of a connection, because other users can see the address."""
    _, user, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return int(user)


def _load() -> None:
    """Import every stage and set up the compiler, which also loads compiled code.

    No thread is started. Where PyArrow is installed, pandas loads it, and its allocator would start
    one.
    """
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
    from numba import njit

    for stage in STAGES.values():
        stage.load()
    njit(lambda number: number)(1)
    gc.collect()
    gc.freeze()  # the garbage collector would copy the memory pages that the processes share


def _serve(connection: socket.socket) -> None:
    """Run one command in this process, which ends with the command or the client."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A client may end before it has sent its request.
        with suppress(OSError, ValueError):
            arguments = _take_over(connection)
            _end_with_client(connection)
            code = _run(arguments)
            _end_with_client(connection, on=False)
            connection.sendall(bytes([code & 0xFF]))
    finally:
        os._exit(code)


def _take_over(connection: socket.socket) -> list[str]:
    """Take over the folder, environment, output and number of threads of the client."""
    head, (out, error), _, _ = socket.recv_fds(connection, LENGTH.size, 2, socket.MSG_WAITALL)
    with connection.makefile("rb") as stream:
        request = json.loads(stream.read(*LENGTH.unpack(head.ljust(LENGTH.size, b"\0"))))
    connection.sendall(BEGUN)
    os.dup2(out, sys.stdout.fileno())
    os.dup2(error, sys.stderr.fileno())
    # The server's streams may be seekable files while the client's are pipes, or the reverse.
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
    """Return a new stream for the current file descriptor of another stream."""
    return os.fdopen(
        stream.fileno(), "w", buffering=1, encoding=stream.encoding, errors=stream.errors, closefd=False
    )


def _limit_threads(threads: int) -> None:
    """Limit the number of threads of the libraries, which have read the environment already."""
    from numba import config, set_num_threads
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    # Numba reads it again, and refuses a change once threads run.
    os.environ["NUMBA_NUM_THREADS"] = str(config.NUMBA_NUM_THREADS)
    set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
    threadpool_limits(threads)


def _end_with_client(connection: socket.socket, *, on: bool = True) -> None:
    """Let the system end this process when the client disconnects.

    This works even if Python is busy.
    """
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    if not on:
        fcntl.fcntl(connection, fcntl.F_SETFL, flags & ~os.O_ASYNC)
        return
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    with suppress(BlockingIOError):
        if not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            os._exit(_ENDED_BY_CLIENT)  # the client has ended already


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
