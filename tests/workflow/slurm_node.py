"""A real Slurm with one node in a temporary folder: controller, node and authentication of Debian's packages."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
START_S = 30.0

CONFIGURATION = """\
ClusterName=oxytomo
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
# Without control groups: the node's own sampling ends a job that uses more memory than it asked for.
JobAcctGatherParams=OverMemoryKill,UsePss
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
MinJobAge=300
ReturnToService=2
SchedulerParameters=batch_sched_delay=1,sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory_mb} State=UNKNOWN
PartitionName=compute Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Return why Slurm cannot be started here, None where it can."""
    missing = [name for name in (*DAEMONS, *COMMANDS) if shutil.which(name, path=_path()) is None]
    if missing:
        return f"no Slurm here: {', '.join(missing)} missing (Debian: slurm-wlm slurm-client munge)"
    return None if os.geteuid() == 0 else "Slurm's daemons are started by root"


@contextmanager
def slurm_node(folder: Path, *, memory_mb: int) -> Iterator[Mapping[str, str]]:
    """Run a cluster of this machine alone; yields the environment for its commands.

    Parameters
    ----------
    folder : an empty folder with a short path (sockets have at most 108 characters in theirs)
    memory_mb : what the node has to give
    """
    cores = len(os.sched_getaffinity(0))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            controller_port=_free_port(),
            node_port=_free_port(),
            folder=folder,
            cores=cores,
            memory_mb=memory_mb,
        ),
        encoding="utf-8",
    )
    _wrap_commands(folder / "bin", configuration)
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{_path()}",
        "SLURM_CONF": str(configuration),
    }
    with ExitStack() as stack:
        stack.enter_context(_munge(folder, environment))
        stack.enter_context(_daemon(["slurmctld", "-D", "-c"], folder, environment))
        host = socket.gethostname().split(".")[0]
        stack.enter_context(_daemon(["slurmd", "-D", "-N", host], folder, environment))
        _wait_for_node(environment)
        try:
            yield environment
        finally:
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(["scancel", "--state=RUNNING"], env=environment, timeout=10, check=False)


def _wrap_commands(folder: Path, configuration: Path) -> None:
    """Give the commands their configuration also inside jobs, where the executor removes Slurm's variables."""
    folder.mkdir()
    for name in COMMANDS:
        script = folder / name
        script.write_text(
            f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which(name, path=_path())} "$@"\n',
            encoding="utf-8",
        )
        script.chmod(0o755)


@contextmanager
def _munge(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run the authentication with a key and a socket of its own."""
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    options = {name: folder / f"munge.{name}" for name in ("socket", "log", "pid", "seed")}
    command = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={options['socket']}"]
    command += [
        f"--log-file={options['log']}",
        f"--pid-file={options['pid']}",
        f"--seed-file={options['seed']}",
    ]
    with _daemon(command, folder, environment):
        _wait(lambda: options["socket"].exists(), "munged")
        yield


@contextmanager
def _daemon(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a daemon in the foreground of a process of its own until the block ends."""
    with (folder / f"{command[0]}.out").open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=dict(environment), start_new_session=True
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_node(environment: Mapping[str, str]) -> None:
    def idle() -> bool:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() == "idle"

    _wait(idle, "the node")


def _wait(ready: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + START_S
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
