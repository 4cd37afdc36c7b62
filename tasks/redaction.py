"""Secrets stay in the environment: they are refused in addresses that travel, and blanked in what is shown."""

import os
import re
from urllib.parse import urlsplit

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
_USER_INFO = re.compile(r"(?<=://)[^/\s@]+@")


def redacted(text: str) -> str:
    """The text without user names and passwords in addresses and without the values of `SECRET_VARIABLES`."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST:
            text = text.replace(value, _MASK)
    return _USER_INFO.sub(f"{_MASK}@", text)


def require_no_credentials(uri: str, name: str, remedy: str) -> None:
    """Refuses an address that holds a user or password, because addresses are written to manifests and logs.

    Raises:
        BadInput: without repeating the address.
    """
    if "@" in urlsplit(uri).netloc:
        raise BadInput(f"{name} holds a user name or password, which would end up in manifests and logs; {remedy}")
