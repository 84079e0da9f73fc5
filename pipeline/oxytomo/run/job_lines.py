"""Progress of a run, one line per finished job: number, name, duration, time left."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from oxytomo.stages.progress import format_duration

_TOLD_FROM = 0.02
"""Fraction of the work that must be done before the time left is shown."""
_TRUSTED = 0.2
"""Fraction of the work for which the estimates of `check` are believed before the clock is. The
first jobs are short and load what the others find loaded; alone they would promise hours."""
_LEAST_S = 1.0
"""Seconds that any job takes, to start and to write."""
_SLOWER = 1.5
"""The time left is told as before when it seems to grow by less than this; beyond it, the machine
is slower than it was, and that is said."""
_BRANCHES = ("areal_density", "tomogram", "chemical_state", "structure", "composition")
"""Branches whose rules carry their name behind that of a stage that others have, too."""
_ENDS = ("sample", "branch")


class JobLines:
    """Convert job reports of Snakemake to lines.

    Parameters
    ----------
    write : function that writes one line
    weights : expected core seconds of one job of each stage; one second for unknown stages
    cores : number of cores of the run
    clock : monotonic clock in seconds
    """

    def __init__(
        self,
        write: Callable[[str], None],
        weights: Mapping[str, float],
        *,
        cores: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._weights, self._clock = write, weights, clock
        self._cores, self._began = max(1, cores), clock()
        self._jobs: dict[int, tuple[str, str, float]] = {}
        self._total, self._done = 0, 0
        self._all, self._finished = 0.0, 0.0
        self._told = float("inf")
        self.planned: list[dict[str, Any]] = []

    def __call__(self, record: logging.LogRecord) -> None:
        """Process one report."""
        event = getattr(getattr(record, "event", None), "value", "")
        if event == "run_info":
            stats = {
                rule: count
                for rule, count in getattr(record, "stats", {}).items()
                if rule not in ("total", "all")
            }
            self._total = sum(stats.values())
            self._began = self._clock()
            self._all = sum(count * self._weight(rule) for rule, count in stats.items())
        elif event == "job_info":
            self._begin(record)
        elif event == "job_finished":
            self._end(int(getattr(record, "job_id", -1)))

    def _stage(self, rule: str) -> str:
        """Return the stage of a rule: ``align`` of ``align_tomogram``."""
        if rule in self._weights:
            return rule
        stages = (rule.removesuffix(f"_{branch}") for branch in _BRANCHES if rule.endswith(f"_{branch}"))
        return next((stage for stage in stages if stage in self._weights), rule)

    def _weight(self, rule: str) -> float:
        """Return the expected core seconds of a job."""
        return _LEAST_S + max(0.0, float(self._weights.get(self._stage(rule), 0.0)))

    def _left(self, now: float) -> float:
        """Return the seconds left: the estimate of the rest at the pace so far.

        It does not grow because of a single slow job.
        """
        trusted = _TRUSTED * self._all / self._cores
        pace = (now - self._began + trusted) / (self._finished / self._cores + trusted)
        left = pace * (self._all - self._finished) / self._cores
        self._told = left if left > _SLOWER * self._told else min(left, self._told)
        return self._told

    def _begin(self, record: logging.LogRecord) -> None:
        rule, wildcards = str(getattr(record, "rule_name", "")), dict(getattr(record, "wildcards", {}) or {})
        sample = str(wildcards.get("sample", ""))
        rest = [str(value) for name, value in wildcards.items() if name not in _ENDS]
        label = " ".join(part for part in (sample, self._stage(rule), *rest) if part)
        self._jobs[int(getattr(record, "jobid", -1))] = (rule, label, self._clock())
        reason = " ".join(str(getattr(record, "reason", "")).split())[:300]
        self.planned.append({"rule": rule, "sample": sample, "reason": reason})

    def _end(self, number: int) -> None:
        if number not in self._jobs:
            return
        rule, label, began = self._jobs.pop(number)
        if rule == "all":
            return
        now = self._clock()
        self._done += 1
        self._finished += self._weight(rule)
        left = ""
        if self._done < self._total and _TOLD_FROM * self._all <= self._finished < self._all:
            left = f", about {format_duration(self._left(now))} left in all"
        self._write(f"[{self._done}/{self._total}] {label}: {format_duration(now - began)}{left}")
