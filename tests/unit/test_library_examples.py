"""Every public name is documented, and the example in its docstring runs."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import oxytomo
from oxytomo import library

FUNCTIONS = [name for name in oxytomo.__all__ if inspect.isfunction(getattr(oxytomo, name))]


def module_of(name: str) -> ModuleType:
    return importlib.import_module(getattr(oxytomo, name).__module__)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_public_function_runs(name: str) -> None:
    function = getattr(oxytomo, name)
    finder = doctest.DocTestFinder(recurse=False)
    [example] = finder.find(function, name, module=module_of(name), globs={})
    assert example.examples, "no example"
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert result.failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_says_what_it_takes_gives_and_refuses(name: str) -> None:
    text = inspect.getdoc(getattr(oxytomo, name)) or ""
    for part in ("Parameters\n---", "Returns\n---", "Raises\n---", "Examples\n---"):
        assert part in text, part
    for parameter in inspect.signature(getattr(oxytomo, name)).parameters:
        assert parameter in text, parameter


def test_the_library_is_small_and_complete() -> None:
    assert dir(oxytomo) == sorted(oxytomo.__all__)
    assert len(oxytomo.__all__) <= 30
    assert all(hasattr(oxytomo, name) for name in oxytomo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fdb'"):
        oxytomo.fdb  # noqa: B018


def test_no_public_name_is_that_of_a_room() -> None:
    """Importing a room sets its name in the package, in place of a function of the same name."""
    rooms = {module.name for module in pkgutil.iter_modules(oxytomo.__path__)}
    assert not rooms & set(oxytomo.__all__)


def test_every_room_of_the_library_is_reached_from_the_top() -> None:
    homes = {module_of(name).__name__ for name in FUNCTIONS}
    assert library.__name__ == "oxytomo.library"
    assert {name.split(".")[1] for name in homes} <= {"library", "results"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("numpy", "numba", "pydantic", "zarr", "pandas", "xarray")
    code = f"import sys, oxytomo; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
