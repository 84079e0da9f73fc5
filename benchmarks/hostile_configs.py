"""Give `oxytomo check` hostile configurations and raw paths; every one has to end in one printable line and exit code 2.

    python benchmarks/hostile_configs.py

Each case is a configuration file in a folder of its own with small raw files. It is checked in a child process with 4 GB
of address space and 60 s of computing. A failure is: another exit code than 2 (0 where the case says so), more or fewer
lines on standard error, a character that does not show, a traceback, a file named ``ran`` that only injected code would
make, or a time or memory limit reached. Failures are printed; exit code 1 where there is one.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

MEMORY_BYTES = 4 * 2**30
SECONDS = 60
OPTIONS = (
    "-s", "-sX", "--snakefile", "-n", "--forcerun", "-j1", "--", "-", "--config=a", "-h", "--cores",
    "-d", "--directory", "--profile", "-F", "-k", "--until", "-R", "--unlock", "-C", "--delete-all-output",
)  # fmt: skip
CONTROL = (
    "\x1b[31m",
    "\x1b]0;title\x07",
    "a\nb",
    "a\rb",
    "\u202ebad",
    "a\u2066b",
    "a\u200bb",
    "\x00",
    "a\x7f",
    "\x9b2J",
    "a\u2028b",
    "\u061c",
)
MARKUP = (
    "../up", "/etc", "a/b", ".hidden", "", " ", "a b", "$(touch ran)", "`touch ran`", "a;touch ran", "{sample}",
    "<results>", "*", "~", "é", "a" * 300, "logs",
)  # fmt: skip
HUGE = (
    "1e308",
    "-1e308",
    "9" * 99,
    "-" + "9" * 99,
    "1e-300",
    ".inf",
    ".nan",
    "0x" + "f" * 90,
    "1:1:1:1:1:1:1:1",
)
PATHS = (
    "~nouser/a.h5", "a/" * 3000 + "a.h5", "n" * 300 + ".h5", "<results>.h5", "a<logs>b/*.h5", "{sample}.h5",
    "/**/*.h5", "/*/*/*/*/*.h5", "***", "**", "?" * 200, "[", "[a-", "a\x1b[2J.h5", "\u202e5h.a", "", " ", "/dev/zero",
    "/dev/null", "/proc/self/mem", "/", ".", "..", "none.h5", "/proc/**/*", "pipe", "here<results>.h5", "odd/*.h5",
)  # fmt: skip
NUMBERS = (
    ("density_g_cm3", 1e-300), ("density_g_cm3", 0.0), ("density_g_cm3", -1), ("density_g_cm3", 26),
    ("density_g_cm3", 1e308), ("density_g_cm3", 0.01), ("threshold", 2), ("threshold", 1e308),
)  # fmt: skip
TEXTS = (
    "samples: " + ":".join(["1"] * 300_000),
    "samples: " + ":".join(["1"] * 20_000) + ".5",
    "samples: " + "9" * 1_000_000,
    "samples: 0b" + "1" * 1_000_000,
    "samples: 0x" + "f" * 1_000_000,
    "samples: 0" + "7" * 1_000_000,
    "samples: " + "[" * 100_000,
    "samples: " + "[" * 3_000 + "]" * 3_000,
    "samples: " + "{a: " * 100_000,
    "\n".join(" " * i + "a:" for i in range(2_000)),
    "samples: " + "- " * 50_000 + "a",
    "? " * 50_000 + "a",
    "samples: &a [*a]",
    "a: &a {b: *a}",
    "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 3_000))]),
    "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]),
    "__use_yte__: true\n?if __import__('os').system('touch ran') or True:\n  samples: {}\n",
    "samples: !!python/object/apply:os.system ['touch ran']",
    "samples: !!python/name:os.system",
    "samples: !!timestamp 9999-99-99",
    "samples: {s: !!binary '*'}",
    "samples: !!set {a, b}",
    "samples: !!omap [a: 1, a: 2]",
    "samples: 2020-99-99",
    "? [a, b]\n: 1",
    "? {a: b}\n: 1",
    "%YAML 9.9\n---\nsamples: {}",
    "---\na: 1\n---\nb: 1",
    "samples: \"\\x1b[31m\"",
    "\"\\u202e\": 1",
    "\"" + "k" * 1_000_000 + "\": 1",
    "samples: {" + ", ".join(f"s{i}: {{}}" for i in range(5_000)) + "}",
    "\x1b[31m: 1",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1") + ": 1",
    "samples:\n\t- a",
    "#" + " " * 1_000_000,
    "samples: |\n" + " a\n" * 200_000,
    "samples: {a: {composition: null}}",
    "samples: 1",
    "samples: []",
    "samples: {1: {}}",
    "samples: {2020-01-01: {}}",
    "samples: {true: {}}",
    "[" * 20_000,
    "&a " * 10_000 + "b",
    "<<: *a",
    "<<: [{}, {}, 1]",
    "samples: {s: {tomogram: {source: {images: [[]]}}}}",
    "samples: {s: {tomogram: {source: {images: a.h5, angles: {start: 1e999, step: 1}}}}}",
    "samples: {s: {structure: {volume: {images: a.h5, shape: [99999999999, 1, 1], dtype: uint8}, voxel_nm: 1}}}",
    "samples: {s: {structure: {volume: a.h5, voxel_nm: 1.0e+9}}}",
    "samples: {s: {oxidation: {stacks: {Mn: a.h5}, references: {Mn: {1e308: a.csv, 2: a.csv}}}}}",
)  # fmt: skip


def sample(images: Any = "a.h5", **changes: Any) -> dict[str, Any]:
    """Return a sample with one tilt series."""
    return {"tomogram": {"source": images, **changes}}


def edges(**changes: Any) -> dict[str, Any]:
    """Return a sample with a composition."""
    pair = {"pre": "a.h5", "post": "a.h5"}
    return {"composition": {"edges": {"O": pair, "Ni": pair}, "formula": {"Ni": 1, "O": 1}, **changes}}


def cases() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each configuration."""
    dump = yaml.safe_dump
    for name in (*OPTIONS, *CONTROL, *MARKUP):
        yield f"sample {name[:40]!r}", dump({"samples": {name: sample()}})
    for name in (*OPTIONS, *CONTROL, "=1+1", "+cmd", "@sum"):
        two = {"a": edges(), "b": edges()}
        yield f"group {name!r}", dump({"samples": two, "groups": {name: ["a", "b"]}})
    for name in CONTROL:
        yield f"key {name!r}", dump({"samples": {"s": sample() | {name: 1}}})
        yield f"element {name!r}", dump({"samples": {"s": edges(formula={"Ni": 1, "O": 1, name: 1})}})
        yield f"dataset {name!r}", dump({"samples": {"s": sample({"images": "a.h5", "dataset": name})}})
        yield f"results {name!r}", dump({"results": name, "samples": {"s": sample()}})
    for path in PATHS:
        yield f"path {path[:40]!r}", dump({"samples": {"s": sample(path)}})
        yield f"angles {path[:40]!r}", dump({"samples": {"s": sample({"images": "a.h5", "angles": path})}})
    for path in ("~nouser", "<logs>", "a" * 300, "a/" * 3000):
        yield f"results {path[:40]!r}", dump({"results": path, "samples": {"s": sample()}})
    for key, value in NUMBERS:
        yield f"{key} {value}", dump({"samples": {"s": edges(**{key: value})}})
    fields = ("pixel_nm", "energy_ev", "offset")
    for field, value in itertools.product(fields, HUGE):
        text = f"samples: {{s: {{tomogram: {{source: {{images: none.h5, {field}: {value}}}}}}}}}"
        yield f"{field} {value[:20]}", text
    for number, text in enumerate(TEXTS):
        yield f"text {number}: {text[:40]!r}", text
    for name in ("meter.h5", "flat.h5", "future.h5"):
        source = {"images": name, "quantity": "signal"}
        yield f"file {name}", dump({"samples": {"s": sample(source)}})


def write_raw(folder: Path) -> None:
    """Write the raw files that the configurations name: good, of a pixel of 1 m, of 4 × 600 pixels, from the future."""
    for name, shape, pixel in (
        ("a.h5", (6, 8, 9), 10e-9),
        ("meter.h5", (6, 8, 9), 1.0),
        ("flat.h5", (6, 4, 600), 10e-9),
        ("future.h5", (6, 8, 9), 10e-9),
        ("here<results>.h5", (6, 8, 9), 10e-9),
    ):
        with h5py.File(folder / name, "w") as file:
            file["implements"] = "exchange"
            file["exchange/theta"] = np.arange(6.0)
            file["exchange/data"] = np.ones(shape, np.uint16)
            file["exchange/data"].attrs["units"] = "counts"
            for axis in "xy":
                size = file.create_dataset(
                    f"measurement/instrument/detector/{axis}_actual_pixel_size", data=pixel
                )
                size.attrs["units"] = "m"
    os.utime(folder / "future.h5", (time.time() + 1e6,) * 2)
    (folder / "odd").mkdir()
    (folder / "odd" / "a\x1b[31m.h5").touch()
    os.mkfifo(folder / "pipe")


def check(text: str, folder: Path) -> tuple[int, str, str]:
    """Check a configuration in a child process; returns exit code (negative: a signal), output and errors."""
    (folder / "x.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    process = os.fork()
    if process == 0:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        os.chdir(folder)
        out, error = io.StringIO(), io.StringIO()
        code = 1
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = oxytomo(["check", "x.yaml"])
        answer.write_text(json.dumps([code, out.getvalue(), error.getvalue()]))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if not answer.is_file():
        return (status if status < 0 else 1), "", ""
    code, out_text, error_text = json.loads(answer.read_text())
    return int(code), str(out_text), str(error_text)


def wrong(code: int, out: str, error: str, ran: bool) -> str | None:
    """Return what is wrong with how a case ended."""
    lines = error.splitlines()
    if ran:
        return "CODE RAN"
    if code != 2:
        return f"exit code {code}"
    if not all(line.startswith("oxytomo: ") for line in lines) or len(lines) != error.count("\n"):
        return f"not one line each: {error[:200]!r}"
    if not lines or not all(line.isprintable() for line in [*lines, *out.splitlines()]):
        return f"characters that do not show: {error[:200]!r}"
    return f"a line of {max(map(len, lines))} characters" if max(map(len, lines)) > 6000 else None


def main() -> int:
    """Check every configuration and print the failures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="only cases whose name holds this text")
    arguments = parser.parse_args()
    failures = count = 0
    slowest = (0.0, "")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_raw(folder)
        for name, text in cases():
            if arguments.only not in name:
                continue
            count += 1
            started = time.monotonic()
            problem = wrong(*check(text, folder), ran=any(folder.rglob("ran")))
            slowest = max(slowest, (time.monotonic() - started, name))
            if problem is not None:
                failures += 1
                print(f"{name}: {problem}", flush=True)
    print(f"{count} hostile configurations, {failures} failures; slowest {slowest[0]:.1f} s: {slowest[1]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.setrecursionlimit(1000)
    from oxytomo.cli import build_parser
    from oxytomo.cli import main as oxytomo
    from oxytomo.io.readers import peek

    build_parser()  # everything is loaded once, before the processes of the cases
    _ = peek
    sys.exit(main())
