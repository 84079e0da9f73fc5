"""Progress of a reconstruction that consists of several solves."""

from collections.abc import Callable

OnProgress = Callable[[int, int], None]
"""Called with (iterations done, iterations in all)."""


class Progress:
    """Adds up the iterations of several solves; a solve that stops early counts as complete."""

    def __init__(self, on_progress: OnProgress | None, total: int) -> None:
        self._report, self._total, self._done = on_progress, total, 0.0

    def step(self, more: float) -> None:
        """Report some iterations of the current solve."""
        if self._report is not None:
            self._report(min(round(self._done + more), self._total), self._total)

    def finish(self, share: float) -> None:
        """Count a solve as complete."""
        self._done += share
        self.step(0)
