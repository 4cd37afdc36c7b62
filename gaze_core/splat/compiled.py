"""`compiled`: numba's compiler with the rasteriser's options and a cache on disk.

numba invalidates cached code by the source file of the function only, so changes in other files that a kernel calls would
go unnoticed. Therefore the name of the cache folder is a digest of all sources in this package.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numba
import pooch

CONTRACT = frozenset({"contract"})  # a multiplication and an addition may become one instruction


def compiled(
    function: Callable[..., Any] | None = None, *, inline: bool = False, fastmath: frozenset[str] = CONTRACT
) -> Any:
    """Compiles a function in nopython mode without the GIL; the first process compiles, later ones load the cache."""
    if function is None:
        return partial(compiled, inline=inline, fastmath=fastmath)
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
    if inline:
        return numba.njit(inline="always", **options)(function)
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = _folder(before)
    try:
        return numba.njit(cache=True, **options)(function)
    finally:
        settings.CACHE_DIR = before


@cache
def _folder(configured: str) -> str:
    """Below $NUMBA_CACHE_DIR or the user's cache; numba's default, beside the sources, if that is not writable."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    base = Path(configured) if configured else Path(pooch.os_cache("gazeworks")) / "compiled"
    folder = base / hashlib.sha256(sources).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return configured
    return str(folder) if os.access(folder, os.W_OK) else configured
