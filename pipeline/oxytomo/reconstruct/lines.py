"""Choice of the arithmetic on lines: emitted vector code, or plain loops where that fails.

The choice is made once, at import, by a probe that compiles the emitted code and compares its
numbers with those of the plain loops. It depends only on the installed compiler, not on settings or
environment variables, so all processes of a run make the same choice.
"""

import importlib
import logging
from types import ModuleType

import numpy as np

from oxytomo.reconstruct import plain_lines

WIDTH = plain_lines.WIDTH
_LOGGER = logging.getLogger(__name__)


def chosen(name: str) -> ModuleType:
    """Return the module of line functions of that name if it works, else the plain loops."""
    try:
        lines = importlib.import_module(name)
        trouble = "" if np.array_equal(_probed(lines), _probed(plain_lines)) else "other numbers"
    except Exception as error:
        trouble = f"{type(error).__name__}: {error}".splitlines()[0]
    if trouble:
        _LOGGER.warning("kernels use plain loops, which are slower; vector code fails (%s)", trouble)
        return plain_lines
    return lines


def _probed(lines: ModuleType) -> np.ndarray:
    # Whole numbers and halves: only the last square root and quotient are rounded, and both are
    # defined to the last bit.
    both = np.arange(16 * WIDTH, dtype=np.float32).reshape(2, -1) % 7 - 2
    lines.probe(both[0], both[1])
    return both


_LINES = chosen("oxytomo.reconstruct.vector_lines")
add_lines, shrink_line, ascend_line = _LINES.add_lines, _LINES.shrink_line, _LINES.ascend_line
