"""The error tree: everything a user can mend is a :class:`PipelineError`, shown as one line with exit code 2."""


class PipelineError(Exception):
    """Something the user can mend; printed as one line, never as a traceback.

    Parameters
    ----------
    name : str
        The thing that is wrong: a file, a setting, an array.
    expected, got : str
        What the program needed, and what it found.
    fix : str
        The likeliest remedy, as an instruction.
    """

    def __init__(self, name: str, *, expected: str, got: str, fix: str) -> None:
        self.subject, self.expected, self.got, self.fix = name, expected, got, fix
        super().__init__(f"{name}: expected {expected}, got {got}. Likely fix: {fix}")


class ConfigError(PipelineError, ValueError):
    """A setting is missing, unknown or contradicts another."""


class InputError(PipelineError, ValueError):
    """A raw file is missing, damaged or does not hold what its role needs."""


class ShapeError(PipelineError, ValueError):
    """Arrays that belong together do not fit each other."""


class StoreError(PipelineError, OSError):
    """A result store or folder cannot be read or written, or was made by something else."""


class MissingPackageError(PipelineError, ImportError):
    """An optional package is needed for what was asked."""


class OutOfMemoryError(PipelineError, MemoryError):
    """There is less memory than the work takes."""

    @classmethod
    def of(cls, error: MemoryError) -> "OutOfMemoryError":
        """Return the line for what Python or NumPy says."""
        return cls(
            "memory",
            expected="enough of it for this work",
            got=" ".join(str(error).split()) or "none left",
            fix="use a machine (or ask for a job) with more, give the work less (see `oxytomo check`), or close other programs",
        )
