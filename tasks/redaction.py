"""Secrets stay in the environment: they are refused in addresses that are stored, and masked in messages and logs."""

import os
import re

from gaze_core.errors import BadInput

SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_API_KEY",
    "PREFECT_SERVER_API_AUTH_STRING",
)
_MASK, _SHORTEST = "***", 6  # shorter values would blank out innocent text
# A password may hold any of / @ ? # although it should not: SQLAlchemy and drivers take it, so all up to the last @ goes.
_USER_INFO = re.compile(r"(?<=://)(?:[^/\s@:]*:\S*@|[^/\s@]+@)")
_SECRET_NAMES = r"pass|pwd|secret|token|key|auth|sig|cred"
_QUERY_SECRET = re.compile(rf"(?<=[?&;])([^=&;\s]*(?:{_SECRET_NAMES})[^=&;\s]*=)[^&\s]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text without users, passwords and tokens in addresses and without the values of `SECRET_VARIABLES`."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST:
            text = text.replace(value, _MASK)
    return _without_credentials(text)


def require_no_credentials(uri: str, name: str, remedy: str) -> None:
    """Refuses an address that holds a user, password or token, because addresses are written to manifests and logs.

    Raises:
        BadInput: without repeating the address.
    """
    if _without_credentials(uri) != uri:
        raise BadInput(f"{name} holds a user name or password, which would end up in manifests and logs; {remedy}")


def _without_credentials(text: str) -> str:
    return _QUERY_SECRET.sub(rf"\1{_MASK}", _USER_INFO.sub(f"{_MASK}@", text))
