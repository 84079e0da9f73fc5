"""Limits that keep the source readable: sizes, positional parameters, tuples, width of prose."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import oxytomo

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 60
POSITIONAL = 6
TUPLE = 4
COLUMNS_OF_PROSE = 100

PROSE = (
    "align",
    "chemical_state",
    "composition",
    "config",
    "electrochemistry",
    "io",
    "measure",
    "mechanics",
    "oxidation",
    "phase",
    "preprocess",
    "reconstruct",
    "scattering",
    "segment",
    "simulate",
)
"""Packages whose prose is within its limit, and so are the modules beside them."""

COMPILED = ("njit", "parallel_kernel", "intrinsic")
"""Numba takes no keyword-only parameters, and what it compiles is called from one place: compiled
functions may have more parameters."""
KERNELS = {
    "decomposition._solve",
    "local._tile_tables",
    "projector_kernels.forward_kernel",
    "projector_kernels.project",
    "staggered.apply_stiffness",
    "vector_lines.ascend_line",
}
"""Inner loops that are longer: a function in between would be one more thing to inline."""


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def docstring(node: ast.FunctionDef) -> ast.Expr | None:
    first = node.body[0]
    return first if isinstance(first, ast.Expr) and ast.get_docstring(node) is not None else None


def is_compiled(node: ast.FunctionDef) -> bool:
    return any(name in ast.unparse(one) for one in node.decorator_list for name in COMPILED)


def prose_lines(text: str, tree: ast.Module) -> Iterator[int]:
    """Yield the numbers of lines of docstrings and comments, without marks for tools."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(("# type:", "# noqa")):
            yield token.start[0]


def long_functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, int]]:
    """Yield functions with too many lines, from ``def`` on, without the docstring."""
    for node in functions(tree):
        said = docstring(node)
        spoken = 0 if said is None else (said.end_lineno or 0) - said.lineno + 1
        lines = (node.end_lineno or 0) - node.lineno + 1 - spoken
        if lines > LINES_OF_A_FUNCTION:
            yield node, lines


def many_parameters(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in functions(tree):
        named = [a for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
        if len(named) > POSITIONAL and not is_compiled(node):
            yield node


def long_tuples(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in functions(tree):
        for part in ast.walk(node.returns) if node.returns is not None else ():
            if not (isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Tuple)):
                continue
            if ast.unparse(part.value) == "tuple" and len(part.slice.elts) > TUPLE:
                yield node


@pytest.fixture(scope="module")
def above() -> dict[str, list[str]]:
    """What is above its limit, by limit; every file is parsed once and let go."""
    found: dict[str, list[str]] = {
        limit: [] for limit in ("file", "function", "parameters", "tuple", "prose")
    }
    root = Path(oxytomo.__file__).parent
    for path in sorted(root.rglob("*.py")):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        tree, lines = ast.parse(text), text.splitlines()
        if len(lines) > LINES_OF_A_FILE:
            found["file"].append(name)
        for node, length in long_functions(tree):
            if f"{path.stem}.{node.name}" not in KERNELS:
                found["function"].append(f"{name}:{node.lineno} {node.name} {length}")
        found["parameters"] += [f"{name}:{node.lineno} {node.name}" for node in many_parameters(tree)]
        found["tuple"] += [f"{name}:{node.lineno} {node.name}" for node in long_tuples(tree)]
        if "/" not in name or name.partition("/")[0] in PROSE:
            numbers = sorted(set(prose_lines(text, tree)))
            found["prose"] += [f"{name}:{n}" for n in numbers if len(lines[n - 1]) > COLUMNS_OF_PROSE]
    return found


@pytest.mark.parametrize("limit", ["file", "function", "parameters", "tuple", "prose"])
def test_nothing_is_above_its_limit(above: dict[str, list[str]], limit: str) -> None:
    assert above[limit] == []
