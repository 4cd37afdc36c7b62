"""Addresses of artifact stores: which are valid, and which folder or bucket they name.

Everything after `file://` or `s3://bucket/` belongs to the path, also `#` and `?`.
"""

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from gaze_core.errors import BadInput
from tasks.redaction import require_no_credentials

VARIABLE = "GAZEWORKS_STORE"
_EXPECTED = f"expected a folder, file:///folder or s3://bucket/prefix; set {VARIABLE}"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]+")  # S3 itself is stricter, others are not


def store_root(text: str) -> str:
    """The address of a store in its internal form: `file:///...` with escapes, or `s3://bucket/prefix`.

    Raises:
        BadInput: the address is invalid, or holds credentials.
    """
    if not text.isprintable():
        raise BadInput(f"artifact store {text!r}: holds a character that cannot be printed; {_EXPECTED}")
    if text.startswith("s3://"):
        return _bucket_root(text)
    return _folder_root(text).as_uri()


def local_path(uri: str) -> Path:
    """The folder that a `file://` address names."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _bucket_root(text: str) -> str:
    bucket, key = bucket_and_key(text.rstrip("/"))
    if "@" in bucket:
        require_no_credentials("s3://user@bucket", VARIABLE, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
    if not _BUCKET.fullmatch(bucket):
        raise BadInput(f"artifact store {text!r}: {bucket!r} is no bucket's name; {_EXPECTED}")
    if key and {"", ".", ".."} & set(key.split("/")):
        raise BadInput(f"artifact store {text!r}: the prefix has an empty part, '.' or '..'; {_EXPECTED}")
    return f"s3://{bucket}/{key}" if key else f"s3://{bucket}"


def _folder_root(text: str) -> Path:
    if text.startswith("file://"):
        path = local_path(text.replace("file://localhost/", "file:///", 1))
        if not path.is_absolute():
            raise BadInput(
                f"artifact store {text!r}: not absolute; write three slashes and the whole path; {_EXPECTED}"
            )
    elif not text or _SCHEME.match(text):
        raise BadInput(f"artifact store {text!r}: {_EXPECTED}")
    else:
        path = Path(text).expanduser()
    path = Path(os.path.abspath(path))
    if path == Path(path.root):
        raise BadInput(f"artifact store {text!r}: is the whole file system; {_EXPECTED}")
    if "\0" in str(path):
        raise BadInput(f"artifact store {text!r}: holds a zero byte; {_EXPECTED}")
    return path
