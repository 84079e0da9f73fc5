"""Limits that keep the source readable: sizes, positional parameters, tuples, width of prose."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

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


def sources(*, prose: bool = False) -> Iterator[tuple[str, str, ast.Module]]:
    root = Path(oxytomo.__file__).parent
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        package = place.parts[0] if len(place.parts) > 1 else ""
        if not prose or package in ("", *PROSE):
            text = path.read_text(encoding="utf-8")
            yield place.as_posix(), text, ast.parse(text)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def docstring(node: ast.FunctionDef) -> ast.Expr | None:
    first = node.body[0]
    return first if isinstance(first, ast.Expr) and ast.get_docstring(node) is not None else None


def is_compiled(node: ast.FunctionDef) -> bool:
    return any(name in ast.unparse(one) for one in node.decorator_list for name in COMPILED)


def test_files_are_short() -> None:
    assert [name for name, text, _ in sources() if len(text.splitlines()) > LINES_OF_A_FILE] == []


def test_functions_are_short() -> None:
    """Lines from ``def`` on, without the docstring."""
    long = []
    for name, _, tree in sources():
        for node in functions(tree):
            said = docstring(node)
            spoken = 0 if said is None else (said.end_lineno or 0) - said.lineno + 1
            lines = (node.end_lineno or 0) - node.lineno + 1 - spoken
            if lines > LINES_OF_A_FUNCTION and f"{Path(name).stem}.{node.name}" not in KERNELS:
                long.append(f"{name}:{node.lineno} {node.name} {lines}")
    assert long == []


def test_parameters_have_names_where_they_are_many() -> None:
    many = [
        f"{name}:{node.lineno} {node.name}"
        for name, _, tree in sources()
        for node in functions(tree)
        if len([a for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")])
        > POSITIONAL
        and not is_compiled(node)
    ]
    assert many == []


def test_long_tuples_are_not_returned() -> None:
    long = []
    for name, _, tree in sources():
        for node in functions(tree):
            for part in ast.walk(node.returns) if node.returns is not None else ():
                if isinstance(part, ast.Subscript) and ast.unparse(part.value) == "tuple":
                    members = part.slice.elts if isinstance(part.slice, ast.Tuple) else []
                    if len(members) > TUPLE:
                        long.append(f"{name}:{node.lineno} {node.name}")
    assert long == []


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


def test_prose_is_narrow() -> None:
    wide = []
    for name, text, tree in sources(prose=True):
        lines = text.splitlines()
        numbers = sorted(set(prose_lines(text, tree)))
        wide += [f"{name}:{number}" for number in numbers if len(lines[number - 1]) > COLUMNS_OF_PROSE]
    assert wide == []
