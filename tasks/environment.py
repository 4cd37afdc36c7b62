"""Where runs keep their things, and the defaults of Prefect and MLflow. Imports neither of them."""

import logging
import os
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

# A server that lives as long as one run needs no interface, no schedules and no blocks, and is up sooner without them.
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
HOME_VARIABLE, STORE_VARIABLE = "GAZEWORKS_HOME", "GAZEWORKS_STORE"
LOGGER = "gazeworks"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def home() -> Path:
    """The folder of everything that runs leave behind: `$GAZEWORKS_HOME`, or `.gazeworks` here."""
    return Path(os.environ.get(HOME_VARIABLE) or ".gazeworks").resolve()


def store_uri() -> str:
    """Root of the artifacts: `$GAZEWORKS_STORE` (s3://bucket/prefix or file:///folder), or below `home()`."""
    return os.environ.get(STORE_VARIABLE) or (home() / "store").as_uri()


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


def reach_loopback_directly() -> None:
    """Keeps requests to this machine's own servers away from a proxy that `http_proxy` and the like name."""
    names = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if names != "*":
        missing = [name for name in LOOPBACK if name not in names.split(",")]
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*filter(None, [names]), *missing])


def set_defaults() -> None:
    """Sets what Prefect and MLflow read when they are imported; a variable that is set stays as it is.

    Without `PREFECT_API_URL`, a run has a server of its own.
    """
    defaults = {
        "PREFECT_HOME": str(home() / "prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Training waits for a tracking server that is away, so give up soon: what is to be said is kept (tasks.outbox).
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    }
    if os.environ.get("PREFECT_API_URL"):
        defaults["PREFECT_LOGGING_EXTRA_LOGGERS"] = LOGGER  # our lines go to the server's pages, too
    else:
        defaults |= OWN_SERVER
    home().mkdir(parents=True, exist_ok=True)  # Prefect makes its own folder when it is imported, but not the parents
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    reach_loopback_directly()
    logging.getLogger(LOGGER).setLevel(logging.INFO)  # Prefect adds its handlers to it, but leaves the level alone


def configure_logging(verbose: bool = False) -> None:
    """Shows Gazeworks' own lines on the terminal, and of Prefect, MLflow and alembic only what went wrong.

    Call it after Prefect has been imported, which gives our logger a console handler of its own.
    """
    for name in ("mlflow", "alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, logging.StreamHandler)]
    logger.addHandler(
        RichHandler(console=Console(stderr=True), show_path=False, show_level=False, log_time_format="%H:%M:%S")
    )
    logger.propagate = False
