"""A real Slurm in a temporary folder: controller, authentication and nodes, all on this machine, from Debian's packages."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
START_S = 30.0

CONFIGURATION = """\
ClusterName=oxytomo
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
# A node that does not answer for so long is down, and its jobs are put back in the queue.
SlurmdTimeout=20
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
{enforcement}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
MinJobAge=300
ReturnToService=2
SchedulerParameters=batch_sched_delay=1,sched_interval=2
{nodes}
PartitionName=compute Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
SAMPLING = """\
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Without control groups: the node's own sampling ends a job that uses more memory than it asked for.
JobAcctGatherParams=OverMemoryKill,UsePss"""
CONTROL_GROUPS = """\
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup"""
CGROUP_CONFIGURATION = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cores} RealMemory={memory_mb} "
    "State=UNKNOWN"
)


def why_not() -> str | None:
    """Return why Slurm cannot be started here, None where it can."""
    missing = [name for name in (*DAEMONS, *COMMANDS) if shutil.which(name, path=_path()) is None]
    if missing:
        return f"no Slurm here: {', '.join(missing)} missing (Debian: slurm-wlm slurm-client munge)"
    return None if os.geteuid() == 0 else "Slurm's daemons are started by root"


@dataclass(frozen=True)
class Cluster:
    """A running cluster: the environment for its commands, and the daemon of each node by name."""

    environment: Mapping[str, str]
    nodes: Mapping[str, "subprocess.Popen[bytes]"]

    def job_on(self, node: str) -> str | None:
        """Return the number of a job that runs on a node, None where there is none."""
        said = self._said(
            "squeue", "--states=RUNNING", "--noheader", f"--nodelist={node}", "--format=%i"
        ).split()
        return said[0] if said else None

    def state_of(self, node: str) -> str:
        """Return the state of a node, such as idle, mixed, down."""
        return self._said("sinfo", "--noheader", f"--nodes={node}", "--format=%t").strip()

    def kill(self, node: str, job: str) -> None:
        """End the daemon of a node and all processes of a job that runs on it, as a power failure would."""
        self.nodes[node].kill()
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess):
                if "slurmstepd" in process.name() and f"[{job}." in " ".join(process.cmdline()):
                    for one in (process, *process.children(recursive=True)):
                        one.kill()

    def _said(self, *command: str) -> str:
        return subprocess.run(
            command, env=dict(self.environment), capture_output=True, text=True, check=True
        ).stdout


@contextmanager
def slurm_cluster(
    folder: Path, *, memory_mb: int, nodes: Sequence[str] = ("one",), control_groups: bool = False
) -> Iterator[Cluster]:
    """Run a cluster whose nodes are all this machine.

    Parameters
    ----------
    folder : an empty folder with a short path (sockets have at most 108 characters in theirs)
    memory_mb : what each node has to give
    nodes : their names
    control_groups : let the kernel hold jobs to the memory they asked for, instead of the node's sampling
    """
    (folder / "state").mkdir()
    # With more cores, the first node would have room for all jobs of a test.
    host, cores = socket.gethostname().split(".")[0], min(len(os.sched_getaffinity(0)), 2)
    configuration = folder / "slurm.conf"
    lines = [
        NODE.format(name=name, host=host, port=_free_port(), cores=cores, memory_mb=memory_mb)
        for name in nodes
    ]
    text = CONFIGURATION.format(
        host=host,
        controller_port=_free_port(),
        folder=folder,
        enforcement=CONTROL_GROUPS if control_groups else SAMPLING,
        nodes="\n".join(lines),
    )
    (folder / "cgroup.conf").write_text(CGROUP_CONFIGURATION, encoding="utf-8")
    configuration.write_text(text, encoding="utf-8")
    _wrap_commands(folder / "bin", configuration)
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{_path()}",
        "SLURM_CONF": str(configuration),
    }
    with ExitStack() as stack:
        stack.enter_context(_munge(folder, environment))
        stack.enter_context(_daemon(["slurmctld", "-D", "-c"], folder, environment))
        daemons = {}
        for name in nodes:
            (folder / f"spool.{name}").mkdir()
            daemons[name] = stack.enter_context(_daemon(["slurmd", "-D", "-N", name], folder, environment))
        cluster = Cluster(environment, daemons)
        wait(lambda: all(cluster.state_of(name) == "idle" for name in nodes), "the nodes")
        try:
            yield cluster
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
        wait(lambda: options["socket"].exists(), "munged")
        yield


@contextmanager
def _daemon(
    command: list[str], folder: Path, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a daemon in the foreground of a process of its own until the block ends."""
    with (folder / f"{command[0]}.out").open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=dict(environment), start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait(ready: Callable[[], object], what: str, *, at_most_s: float = START_S) -> None:
    """Wait until something is there."""
    until = time.monotonic() + at_most_s
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
