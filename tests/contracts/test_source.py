"""Rules for the source that no linter checks, on every module."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import flows.forms
import gaze_core
import tasks

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for folder in ("gaze_core", "tasks", "flows", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 300, 80


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_print_no_broad_except_no_pickle(path):
    for node in ast.walk(tree_of(path)):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", where
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in ("everything", "Exception", "BaseException"), where
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not {"pickle", "cloudpickle", "dill", "joblib"} & {name.split(".")[0] for name in names}, where


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_fit_their_budget(path):
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION_LINES, f"{path}: {node.name}"


def test_flow_files_shadow_no_library():
    # Prefect puts the folder of an entrypoint first on the path.
    folders = [*flows.__path__, *flows.forms.__path__]
    names = {module.name for module in pkgutil.iter_modules(folders)}
    assert not names & (set(sys.stdlib_module_names) | {"prefect", "mlflow", "torch", "tasks", "gaze_core"})


def test_importing_everything_opens_no_connection_and_writes_nothing(tmp_path):
    modules = [
        module.name
        for package in (gaze_core, tasks, flows)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith("__main__")
    ]
    script = (
        "import socket, importlib\n"
        "def refuse(*arguments): raise RuntimeError(f'connection at import: {arguments[1:]}')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GAZEWORKS_HOME": str(tmp_path / "home"),
                   "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "home" / "store").exists()


def test_no_module_carries_the_name_of_a_system_that_has_a_folder():
    systems = ("driver", "redirection", "estimation", "one_shot", "talker")
    rooms = [ROOT / folder for folder in ("flows", "tasks", "gaze_core/stages")]
    for path in (path for path in SOURCES if any(path.is_relative_to(room) for room in rooms)):
        assert not path.name.startswith(tuple(f"{system}_" for system in systems)), path
