"""Feed damaged files to every reader and to the configuration, and keep those that are not refused with one line.

    python benchmarks/fuzz_readers.py --files 20000              all targets
    python benchmarks/fuzz_readers.py --files 2000 hdf5_exchange mrc yaml
    python benchmarks/fuzz_readers.py --list

Each target starts from small honest files. A child process with 1 GB of address space beyond what it starts with takes
one damaged file after another; five seconds on one of them end it (SIGALRM by default action: also a loop inside a
library). A failure is an exception other than PipelineError, a message of more than one line, memory that ran out, a
crash or a hang; the file that did it is kept in --keep. Damage: bytes, words of telling values (0, −1, powers of two),
blocks removed, doubled, zeroed or copied elsewhere, ends cut, tokens of text doubled or replaced.
"""

import argparse
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from oxytomo.errors import PipelineError
from tests.fuzz.targets import TARGETS, Target, quiet_libraries

HANG_S = 5
"""Of wall time, so on an idle machine."""
MORE_BYTES = 2**30
WORDS = (
    0,
    1,
    -1,
    2,
    127,
    128,
    255,
    256,
    2**15,
    2**16,
    2**24,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**40,
    2**63 - 1,
)
TOKENS = (
    b"1e999",
    b"-1",
    b"nan",
    b"999999999999",
    b"../../../etc/passwd",
    b"\x00",
    b"{",
    b"[",
    b"&a",
    b"*a",
    b"!!python/name:os.system",
)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return a copy with one to eight kinds of damage."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
        if not data:
            break
        near = min(len(data), rng.choice((64, 512, 4096, len(data))))
        at = rng.randrange(near)
        length = min(len(data) - at, rng.choice((1, 2, 4, 8, 16, 64, 512)))
        kind = rng.randrange(9)
        if kind <= 2:
            data[at] = rng.randrange(256)
        elif kind == 3:
            size = rng.choice((1, 2, 4, 8))
            word = rng.choice(WORDS) & (2 ** (8 * size) - 1)
            data[at : at + size] = word.to_bytes(size, rng.choice(("little", "big")))
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length]
        elif kind == 6:
            other = rng.randrange(len(data))
            data[at : at + length] = data[other : other + length]
        elif kind == 7:
            data[at : at + length] = rng.choice((b"\0", b"\xff")) * length
        else:
            token = rng.choice(TOKENS)
            data[at : at + rng.choice((0, len(token)))] = token
    if rng.random() < 0.1:
        del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def child(
    target: Target,
    seed: int,
    first: int,
    count: int,
    folder: Path,
    report: "multiprocessing.connection.Connection",
) -> None:
    """Try the files ``first`` to ``count`` one after another; says before each which it is."""
    quiet_libraries()
    seeds = target.seeds(folder)
    target.read(target.place(folder, seeds[0]))  # whatever is imported late, before memory is limited
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_BYTES, used + MORE_BYTES))
    for index in range(first, count):
        rng = random.Random(f"{target.name} {seed} {index}")
        content = damaged(rng.choice(seeds), rng)
        report.send(("try", index, content))
        signal.alarm(HANG_S)
        failure = attempt(target, target.place(folder, content))
        signal.alarm(0)
        if failure:
            report.send(("bad", index, failure))
    report.send(("end", count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def attempt(target: Target, path: Path) -> str | None:
    """Return what is wrong with the way a file was taken or refused, None where nothing is."""
    try:
        target.read(path)
    except PipelineError as error:
        said = str(error)
        if "\n" in said:
            return f"several lines: {said[:200]!r}"
        return f"memory: {said[:200]}" if "MemoryError" in said or "allocate" in said else None
    except BaseException:
        return traceback.format_exc(limit=-4)
    return None


def fuzz(target: Target, seed: int, count: int, keep: Path) -> tuple[int, list[str]]:
    """Try ``count`` files on one target; returns the peak memory in MB and the failures."""
    failures: list[str] = []
    first, peak = 0, 0
    while first < count:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.get_context("fork").Process(
                target=child, args=(target, seed, first, count, Path(folder), theirs)
            )
            process.start()
            theirs.close()
            index, content = first - 1, b""
            with suppress(EOFError):
                while True:
                    kind, *said = ours.recv()
                    if kind == "try":
                        index, content = said
                    elif kind == "end":
                        peak = max(peak, int(said[1]))
                        index = count
                    else:
                        failures.append(kept(target, keep, index, content, said[1]))
            process.join()
            if index < first:
                raise RuntimeError(f"{target.name}: its honest file cannot be read (see above)")
            if index < count:
                number = -(process.exitcode or 0)
                why = "hang" if number == signal.SIGALRM else f"ended by signal {number}"
                failures.append(kept(target, keep, index, content, why))
                first = index + 1
            else:
                first = count
    return peak, failures


def kept(target: Target, keep: Path, index: int, content: bytes, why: str) -> str:
    """Write a file that failed and return a line about it."""
    keep.mkdir(parents=True, exist_ok=True)
    (keep / f"{target.name}-{index}{target.suffix}").write_bytes(content)
    return f"{index}: {why.strip().splitlines()[-1][:200]}"


def main() -> int:
    """Fuzz the chosen targets and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz_failures"))
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(TARGETS))
        return 0
    bad = 0
    for name in arguments.targets or TARGETS:
        started = time.monotonic()
        peak, failures = fuzz(TARGETS[name], arguments.seed, arguments.files, arguments.keep)
        bad += len(failures)
        seconds = time.monotonic() - started
        print(
            f"{name:<18} {arguments.files} files, {seconds:.0f} s, peak {peak} MB, {len(failures)} failures",
            flush=True,
        )
        for line in failures[:8]:
            print(f"   {line}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
