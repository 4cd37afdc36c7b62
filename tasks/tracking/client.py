"""Connection to MLflow: a client for the configured address, and a classification of MLflow's errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

from alembic.util.exc import CommandError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from gaze_core.errors import BadInput, GazeworksError
from tasks import environment
from tasks.redaction import redacted, require_no_credentials
from tasks.store.s3 import or_bucket_errors
from tasks.tracking.database import make_database

# MLflow lets through what any library below it raises; requests' errors are OSErrors, a driver's are SQLAlchemy's.
_UNFIT = (ImportError, ArgumentError, ValueError, LookupError, TypeError, AttributeError)  # see `_is_permanent`
_ERRORS = (MlflowException, SQLAlchemyError, CommandError, OSError, RuntimeError, *_UNFIT)
_PASSING_STATUS = {408, 429}
_MAX_CHARS = 300  # of an error's text: some hold a whole HTML page


class Outage(Exception):
    """MLflow does not take an operation now; the same operation may work later."""


class Refusal(Outage):
    """MLflow will never take an operation, unless the address, the rights or the operation change."""


def connect() -> MlflowClient:
    """A client of `environment.tracking_uri()`, whose database is made if it is a SQLite file that is not there yet.

    Raises:
        Outage: MLflow cannot be used now.
        Refusal: it can never be used at this address.
    """
    uri = environment.tracking_uri()
    try:
        if uri.startswith("http"):
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            require_no_credentials(uri, "MLFLOW_TRACKING_URI", remedy)
        with noticing_outages():
            make_database(uri)
            return MlflowClient(uri, uri)
    except BadInput as error:
        raise Refusal(str(error)) from error


@contextmanager
def noticing_outages() -> Iterator[None]:
    """Raises `Outage` or `Refusal` in place of MLflow's errors; our own errors pass.

    A failure of tracking must not end hours of training.
    """
    try:
        yield
    except GazeworksError:
        raise
    except or_bucket_errors(*_ERRORS) as error:
        kind = Refusal if _is_permanent(error) else Outage
        raise kind(shorten(redacted(str(error)), _MAX_CHARS, placeholder=" ...") or type(error).__name__) from error


def _is_permanent(error: Exception) -> bool:
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        return 400 <= status < 500 and status not in _PASSING_STATUS
    # An address that nobody can parse, a database without its driver, a web page in place of an answer; a damaged operation.
    return isinstance(error, _UNFIT)
