"""The documentation: links lead somewhere, lines fit, generated pages hold everything, the site needs no network."""

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import yaml

import oxytomo
from oxytomo.cli import build_parser
from oxytomo.config import parse_config
from oxytomo.config.plan import JOINT_PRODUCTS, PRODUCTS
from oxytomo.config.schema import schema
from oxytomo.results.columns import TABLE_TYPES
from oxytomo.results.places import TABLE_KEYS
from oxytomo.stages.registry import STAGES
from oxytomo.view.charge_balance import ChargeBalance
from oxytomo.view.charge_balance_depths import DepthBalance
from oxytomo.view.charge_balance_part import balance_columns
from oxytomo.view.compare import Comparison
from oxytomo.view.comparison_part import comparison_tables

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in [
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob(".github/**/*.md"),
        *REPOSITORY.glob("docs/**/*.md"),
    ]
    if path.is_file()
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGE_IN_CODE = re.compile(r"docs/[a-z0-9/-]+\.md")
PROSE = 100
"""Longest line of prose, in characters."""


def _name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def _lines(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a page that are not code."""
    code = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code:
            yield number, line


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page, as repositories and mkdocs both make them of headings."""
    headings = [line.lstrip("#").strip() for _, line in _lines(page) if line.startswith("#")]
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
    return {re.sub(r"\s", "-", text) for text in plain}


def test_relative_links_lead_to_a_file_and_a_heading() -> None:
    broken = []
    for page in PAGES:
        for number, line in _lines(page):
            for link in LINK.findall(line):
                path, _, anchor = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                if re.match(r"[a-z]+:", link):
                    continue
                if not target.exists() or (anchor and anchor not in _anchors(target)):
                    broken.append(f"{_name(page)}:{number}: {link}")
    assert broken == []


def test_lines_of_prose_fit() -> None:
    def unbreakable(line: str) -> bool:
        return line.lstrip().startswith(("|", "#", "<", "![")) or " " not in line.strip()

    long = [
        f"{_name(page)}:{number}"
        for page in PAGES
        for number, line in _lines(page)
        if len(line) > PROSE and not unbreakable(line)
    ]
    assert long == []


def test_lists_and_tables_begin_after_a_blank_line() -> None:
    """Without one, or where a line of prose happens to begin with a number, the site shows something else."""
    marker = re.compile(r"\s*([*-]|\d+\.) ")
    merged = []
    for page in PAGES:
        before = ""
        for number, line in _lines(page):
            in_list = marker.match(before) or before.startswith(" ")
            begins = (marker.match(line) and not line.startswith(" ")) or line.startswith("|")
            if begins and before.strip() and not in_list and before[0] != line[0]:
                merged.append(f"{_name(page)}:{number}: {line[:40]}")
            before = line
    assert merged == []


def test_pages_that_the_code_names_exist() -> None:
    named = {
        (found, _name(path))
        for folder in ("pipeline", "configs", "benchmarks", ".github")
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in (".py", ".smk", ".yaml", ".yml", ".md") or path.name == "Snakefile"
        for found in PAGE_IN_CODE.findall(path.read_text(encoding="utf-8"))
    }
    assert named
    assert {(page, path) for page, path in named if not (REPOSITORY / page).is_file()} == set()


def _settings(page: Path) -> Iterator[dict[str, Any]]:
    """Yield the configurations that a page shows, completed where it shows a part."""
    for block in re.findall(
        r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        content = yaml.safe_load(block)
        if content is None or "…" in block:
            continue
        edges = {"O": {"pre": "a.h5", "post": "b.h5"}, "Ni": {"pre": "c.h5", "post": "d.h5"}}
        whole = {"edges": edges, "formula": "LiNiO2"}
        stack: dict[str, Any] = {"stacks": {}, "references": {}}
        for metal in ("Mn", "Ni", "Co"):
            stack["stacks"][metal] = f"{metal}.h5"
            stack["references"][metal] = {"3": f"{metal}_3.csv", "4": f"{metal}_4.csv"}
        first = next(iter(content))
        if first in ("align", "decompose"):
            content = {"samples": {"a": {"composition": {**whole, **content}}}}
        elif first == "composition":
            elements = "elements" in content[first]
            content = {"samples": {"a": {first: {**({} if elements else whole), **content[first]}}}}
        elif first == "areal_density":
            content = {"samples": {"a": content}}
        elif first == "source":
            content = {"samples": {"a": {"tomogram": content}}}
        elif first == "groups":
            names = [name for group in content[first].values() for name in group]
            content = {"samples": {name: {"oxidation": stack} for name in names}, **content}
        elif first == "plan":
            content = {"samples": {"a": {"composition": whole}}, **content}
        yield content


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_settings_that_pages_show_are_accepted(page: Path) -> None:
    for content in _settings(page):
        assert parse_config(content, folder=REPOSITORY, name=_name(page)).samples


def test_options_that_pages_give_exist() -> None:
    """Of each command on its line, in code as in prose."""
    parser = build_parser()
    [commands] = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    known = {
        name: {option for action in command._actions for option in action.option_strings}
        for name, command in commands.choices.items()
    }
    unknown, found = [], 0
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        for line in page.read_text(encoding="utf-8").splitlines():
            for name, rest in re.findall(r"oxytomo ([a-z]+)((?: [^`|#;]*)?)", line):
                options = re.findall(r"(?<= )--?[a-z][a-z0-9-]*", rest)
                found += len(options) if name in known else 0
                unknown += [f"{_name(page)}: {name} {o}" for o in options if o not in known.get(name, {o})]
    assert unknown == []
    assert found > 50


def test_files_of_the_repository_that_pages_name_exist() -> None:
    written = re.compile(r"`((?:pipeline|benchmarks|tests|configs)/[\w/.-]+|[a-z_]+/[\w/]+\.py)`")
    named = {
        (found, _name(page)) for page in PAGES for found in written.findall(page.read_text(encoding="utf-8"))
    }
    places = (REPOSITORY, REPOSITORY / "pipeline" / "oxytomo")
    gone = {(path, page) for path, page in named if not any((place / path).exists() for place in places)}
    assert gone == {("pipeline/oxytomo/stages/structure/sharpen.py", "CONTRIBUTING.md")}  # that of the recipe


def test_architecture_shows_the_layers_that_are_enforced() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {one["name"]: one for one in project["tool"]["importlinter"]["contracts"]}
    floors: list[set[str]] = []
    for layer in contracts["The layers of the house"]["layers"]:
        names = {part.strip().partition(".")[0] for part in layer.split("|") if "registry" not in part}
        if names not in floors:
            floors.append(names)
    picture = (REPOSITORY / "docs" / "images" / "house.svg").read_text(encoding="utf-8")
    drawn: dict[str, set[str]] = {}
    for height, name in re.findall(r'<rect x="[\d.]+" y="([\d.]+)".*/>\n<text [^>]*>(\w+)<', picture):
        drawn.setdefault(height, set()).add(name)
    assert list(drawn.values()) == floors
    page = (REPOSITORY / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    assert {name for names in floors for name in names if f"`{name}`" not in page} == set()


def test_every_store_is_on_its_page() -> None:
    page = (REPOSITORY / "docs" / "reference" / "stores.md").read_text(encoding="utf-8")
    stores = {stage.store.partition("{")[0] for stage in STAGES.values() if stage.store}
    assert {store for store in stores if f"`{store}" not in page and f"/{store}" not in page} == set()


@pytest.fixture(scope="module")
def site_reference() -> ModuleType:
    """The module that makes the reference pages; it is part of the documentation, not of the package."""
    spec = importlib.util.spec_from_file_location("site_reference", REPOSITORY / "docs" / "site_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_is_on_its_page(site_reference: ModuleType) -> None:
    page, described = site_reference.settings(), schema()
    sections = dict(re.findall(r"^## (\w+) \{#.*?\}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert set(sections) == set(described["$defs"])
    for name, model in described["$defs"].items():
        rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*?) \|$", sections[name], re.MULTILINE))
        named = [
            option["properties"] for option in (model, *model.get("anyOf", ())) if "properties" in option
        ]
        assert [set(rows)] == [set(properties) for properties in named]
        assert all(rows.values()), f"{name} has a setting without a description: {rows}"


def test_every_command_is_on_its_page(site_reference: ModuleType) -> None:
    page = site_reference.commands()
    listed = re.findall(r"^    (\w+)\s+\w", page.partition("\n## ")[0], re.MULTILINE)
    assert {"run", "check", "report", "simulate"} <= set(listed)
    assert re.findall(r"^## oxytomo (\w+)$", page, re.MULTILINE) == listed
    assert "--profile" in page


def test_every_name_of_the_library_is_on_its_page(site_reference: ModuleType) -> None:
    named = re.findall(r"^::: oxytomo\.(\w+)$", site_reference.library(), re.MULTILINE)
    assert sorted(named) == sorted(name for name in oxytomo.__all__ if name != "__version__")


def test_every_column_of_every_table_is_on_its_page(site_reference: ModuleType) -> None:
    sections = dict(
        re.findall(r"^### (\S+\.csv)\n(.*?)(?=^#|\Z)", site_reference.outputs(), re.DOTALL | re.MULTILINE)
    )
    rows = {name: re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) for name, text in sections.items()}
    nothing = SimpleNamespace(quantities=(), samples=(), groups=(), means={}, contrasts=())
    compared = comparison_tables(cast(Comparison, nothing))
    expected = {name: list(TABLE_TYPES[key].columns) for name, key in TABLE_KEYS.items()}
    depths = [DepthBalance(depth, (), {}, {}) for depth in ("bulk", "surface")]
    metals = SimpleNamespace(metals=())
    empty = SimpleNamespace(rows=(), refused=(), n={}, depths=depths, material=metals)
    no_balance = cast(ChargeBalance, empty)
    in_results = {f"comparison_{name}.csv": list(table) for name, table in compared.items()}
    in_results["charge_balance.csv"] = list(balance_columns(no_balance))
    assert rows == expected | in_results
    products = [name for names in (*PRODUCTS.values(), JOINT_PRODUCTS) for name in names]
    assert {name for name in products if name.endswith(".csv")} == set(expected)


@pytest.mark.slow
def test_site_is_built_without_a_warning_and_works_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the documentation's tools are not installed")
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1", "OXYTOMO_DOCS_EXECUTE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    loaded = re.compile(
        r"<(?:script|img|iframe)[^>]*\ssrc=\"?https?:|<link[^>]*rel=\"?stylesheet[^>]*https?:"
    )
    assert [page.name for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    address = f"file://{tmp_path / 'site' / 'index.html'}?q=aperture"
    shown = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=20000",
            "--dump-dom",
            address,
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r'md-search-result__meta">\s*\d+ matching documents', shown)
