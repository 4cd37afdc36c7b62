"""The code's imports match pyproject.toml, and optional packages are imported only where they are used."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"gaze_core", "tasks", "flows", "benchmarks", "tests"}
INSTALLED = packages_distributions()
NOT_IMPORTED = {"fastapi", "websockets"}  # Prefect's server imports the one, uvicorn the other
# Where a package that the development environment lacks has another name than what is imported.
DISTRIBUTIONS = {"dlib": "dlib-bin", "torch_fidelity": "torch-fidelity"}


def name_of(requirement: str) -> str:
    """The normalised name of the package in a requirement."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


REQUIRED = {name_of(line) for line in PROJECT["dependencies"]}
EXTRAS = {extra: {name_of(line) for line in lines} for extra, lines in PROJECT["optional-dependencies"].items()}
DEV = EXTRAS.pop("dev")
OPTIONAL = set().union(*EXTRAS.values())


def imports_of(tree: ast.Module) -> Iterator[str]:
    """The top-level packages of the imports anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def imported_at_once(tree: ast.Module) -> set[str]:
    """The packages that are imported with a module, outside functions."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    later = [node for node in ast.walk(tree) if isinstance(node, functions)]
    inner = {id(node) for function in later for node in ast.walk(function)}
    kept = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in inner]
    return set(imports_of(ast.Module(kept, [])))


def packages_of(name: str) -> set[str]:
    """The packages that provide the module `name`."""
    return {name_of(found) for found in INSTALLED.get(name, [DISTRIBUTIONS.get(name, name)])}


def third_party(folders: set[str]) -> dict[str, list[Path]]:
    """Packages of others that are imported, with the importing modules."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for name in set(imports_of(ast.parse(path.read_text()))) - set(sys.stdlib_module_names) - OURS:
            found.setdefault(name, []).append(path)
    return found


@pytest.mark.parametrize(
    ("folders", "declared"),
    [({"gaze_core", "tasks", "flows"}, REQUIRED | OPTIONAL), ({"tests", "benchmarks"}, REQUIRED | OPTIONAL | DEV)],
    ids=["product", "tests"],
)
def test_every_package_that_is_imported_is_declared(folders, declared):
    undeclared = {name: paths for name, paths in third_party(folders).items() if not packages_of(name) & declared}
    assert not undeclared


def test_every_package_that_is_required_is_imported():
    imported = set().union(*map(packages_of, third_party({"gaze_core", "tasks", "flows"})))
    assert imported >= REQUIRED - NOT_IMPORTED
    assert not imported & NOT_IMPORTED


def test_each_package_is_declared_once():
    names = [name_of(line) for line in PROJECT["dependencies"]]
    assert sorted(names) == sorted(set(names))
    assert not REQUIRED & OPTIONAL


def test_what_is_optional_is_imported_only_where_it_is_used():
    # The page of streamlit is a program of its own: `flows/apps/driver/serve.py` starts it where streamlit is there.
    pages = {ROOT / "flows/apps/driver/page.py"}
    for name, paths in third_party({"gaze_core", "tasks", "flows"}).items():
        if packages_of(name) & REQUIRED:
            continue
        for path in set(paths) - pages:
            assert name not in imported_at_once(ast.parse(path.read_text())), path
