"""Paths and addresses that runs use, and the defaults of Prefect and MLflow. Imports neither of them."""

import logging
import os
import re
import warnings
from pathlib import Path

from rich.logging import RichHandler

from gaze_core.errors import BadInput
from gaze_core.outputs import output_folder
from tasks.console import plain_console
from tasks.store import address as store_address
from tasks.store.address import VARIABLE, store_root

# A server for one run needs no interface, no schedules and no blocks, and starts sooner without them.
OWN_SERVER = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
}
HOME_VARIABLE, STORE_VARIABLE = "GAZEWORKS_HOME", VARIABLE
# Files and folders of runs and servers in the home, by the start of their names (also mlflow.db-wal).
OWN_NAMES = (
    "assets", "cache", "mlflow.db", "mlruns", "outbox", "own_server.log", "prefect", "searches", "services", "store", "work",
)  # fmt: skip
LOGGER = "gazeworks"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def home() -> Path:
    """The folder of everything that runs leave behind: `$GAZEWORKS_HOME`, or `.gazeworks` here.

    Raises:
        BadInput: the working folder has been deleted.
    """
    try:
        return Path(os.environ.get(HOME_VARIABLE) or ".gazeworks").resolve()
    except FileNotFoundError as error:
        raise BadInput("the working folder is gone; change to another one") from error


def require_home() -> Path:
    """`home()`, created if it does not exist, after a check that it and what earlier runs left in it can be written to.

    Raises:
        BadInput: it is a file; it or something in it is read-only or another user's; or its path holds a question mark.
    """
    advice = f"set {HOME_VARIABLE} to a folder of yours"
    if "?" in str(home()):  # ends the path in the address of a database
        raise BadInput(f"{home()}: expected a path without '?', which addresses of databases cannot hold; {advice}")
    folder = output_folder(home(), advice)
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*")):
        if path.exists() and not os.access(path, os.W_OK):
            raise BadInput(f"{path}: may not be written to, and an earlier run has left it there; {advice}")
    return folder


def store_uri() -> str:
    """Root of the artifacts: `$GAZEWORKS_STORE` (s3://bucket/prefix or a folder), or below `home()`.

    Raises:
        BadInput: the variable holds no address of a store.
    """
    return store_root(os.environ.get(VARIABLE) or str(home() / "store"))


def tracking_uri() -> str:
    """MLflow's tracking store: `$MLFLOW_TRACKING_URI`, or a SQLite file below `home()`; a file by its whole path."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri or path.startswith(("/", ":", "file:")) else f"sqlite:///{Path(path).resolve()}"


def experiment() -> str:
    """MLflow's experiment: `$MLFLOW_EXPERIMENT_NAME`, or `gazeworks`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "gazeworks"


def figures_uri() -> str | None:
    """Where MLflow's files of a new experiment go: `$GAZEWORKS_MLFLOW_ARTIFACTS` (s3://...), or below `home()`.

    None where a tracking server decides that itself.
    """
    local = tracking_uri().startswith("sqlite:")
    return os.environ.get("GAZEWORKS_MLFLOW_ARTIFACTS") or ((home() / "mlruns").as_uri() if local else None)


def local_path(address: str) -> Path | None:
    """The path on this machine of an address of a store, of MLflow's database or of its files; None for a server."""
    if match := re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+).*", address):
        return Path(match[1]).resolve()
    if address.startswith("file:") or (address and not re.match(r"[\w+.-]+:", address)):
        return store_address.local_path(address).resolve()
    return None


def set_defaults() -> None:
    """Sets the variables that Prefect and MLflow read when they are imported; a variable that is set stays as it is.

    Without `PREFECT_API_URL`, a run has a server of its own.
    """
    defaults = {
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Training waits for a tracking server that is away, so give up soon: the outbox keeps the operations.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    }
    if os.environ.get("PREFECT_API_URL"):
        defaults["PREFECT_LOGGING_EXTRA_LOGGERS"] = LOGGER  # our lines go to the server's pages, too
    else:
        defaults |= OWN_SERVER
    _keep_loopback_from_proxies()
    try:
        defaults["PREFECT_HOME"] = str(home() / "prefect")
        home().mkdir(parents=True, exist_ok=True)  # Prefect makes its own when it is imported, but not the parents
    except (OSError, BadInput):  # no error while modules are imported: `require_home` reports it when a home is needed
        warnings.filterwarnings("ignore", message="Failed to create the Prefect home")
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    logging.getLogger(LOGGER).setLevel(logging.INFO)  # Prefect adds its handlers to it, but leaves the level alone


def _keep_loopback_from_proxies() -> None:
    """Excludes our servers on this machine from `http_proxy`."""
    names = ("no_proxy", "NO_PROXY")
    known = [host.strip() for name in names for host in os.environ.get(name, "").split(",") if host.strip()]
    if "*" not in known:
        os.environ |= dict.fromkeys(names, ",".join(dict.fromkeys([*known, *LOOPBACK])))


def configure_logging(verbose: bool = False) -> None:
    """Shows Gazeworks' own log lines on the terminal, and only errors of MLflow, alembic and httpx.

    Call it after Prefect has been imported, which gives our logger a console handler of its own.
    """
    for name in ("mlflow", "alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, logging.StreamHandler)]
    logger.addHandler(
        RichHandler(console=plain_console(stderr=True), show_path=False, show_level=False, log_time_format="%H:%M:%S")
    )
    logger.propagate = False
