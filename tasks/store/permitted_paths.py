"""Permitted paths: which paths a run may read, write and import.

Users of a server can enter any path in a form, and a run publishes what it reads in the store, where all can see it. So
paths in a form must lie below folders that the worker's owner has named, and Gazeworks' own files are never imported.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gaze_core.config import Config
from gaze_core.errors import BadInput
from tasks import environment

INPUTS_VARIABLE, OUTPUTS_VARIABLE = "GAZEWORKS_INPUTS", "GAZEWORKS_OUTPUTS"


def input_path(text: str) -> Path:
    """A path that a run may read: below a folder of `$GAZEWORKS_INPUTS`, or else below this folder or the home.

    Raises:
        BadInput: it lies elsewhere, also by `..` or a link, or a link below it leads elsewhere; or it is hidden.
    """
    return _below(text, _permitted_folders(INPUTS_VARIABLE, [Path(), environment.home()]), INPUTS_VARIABLE, "read from")


def output_path(text: str) -> Path:
    """A path that a run may write to: below a folder of `$GAZEWORKS_OUTPUTS`, or else below `reports` here.

    Raises:
        BadInput: as `input_path`.
    """
    return _below(text, _permitted_folders(OUTPUTS_VARIABLE, [Path("reports")]), OUTPUTS_VARIABLE, "write to")


def require_inputs(config: Config) -> None:
    """Raises BadInput unless a run may read every file that a configuration names: a form can change any setting."""
    for path in config.named_paths():
        input_path(str(path))


def require_importable(path: Path) -> None:
    """Raises BadInput if `path` is one of Gazeworks' own files or folders, or a folder that holds one.

    Artifacts in the store may be imported: their content is there already. Hidden files of a folder are never imported.
    """
    path, kept = path.resolve(), list(_kept_here())
    store = environment.local_path(environment.store_uri())
    found = [place for place in kept if path == place or (place in path.parents and place != store)]
    found += [
        place
        for place in (environment.home(), *kept)
        if path in place.parents and place.exists() and not _is_hidden(place.relative_to(path))
    ]
    if path == environment.home() or (path.parent == store and any(path.glob("*/manifest.json"))):
        found.append(path)
    if found:
        raise BadInput(
            f"{path}: Gazeworks keeps its own things in {found[0]}; expected a recording, or a folder of its own"
        )


def _permitted_folders(variable: str, default: Sequence[Path]) -> list[Path]:
    named = [Path(part) for part in os.environ.get(variable, "").split(os.pathsep) if part]
    return [folder.resolve() for folder in named or default]


def _below(text: str, folders: Sequence[Path], variable: str, what: str) -> Path:
    try:
        path = Path(text).resolve()
        places = [path, *_links_below(path)]
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise BadInput(f"{text!r}: not a path ({error})") from error
    for place in places:
        if not any(place.is_relative_to(folder) and not _is_hidden(place.relative_to(folder)) for folder in folders):
            leads = "" if place == path else f" holds a link to {place};"
            raise BadInput(
                f"{text}:{leads} runs on this worker may {what} {', '.join(map(str, folders))} only, and nothing hidden; its "
                f"owner can name more in {variable}"
            )
    return path


def _links_below(path: Path) -> Iterator[Path]:
    """The targets of all links below a folder."""
    for folder, folders, files in os.walk(path):
        entries = (Path(folder, name) for name in (*folders, *files))
        yield from (entry.resolve() for entry in entries if entry.is_symlink())


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _kept_here() -> Iterator[Path]:
    """Files and folders of Gazeworks and its servers on this machine."""
    yield from (path for path in environment.home().glob("*") if path.name.startswith(environment.OWN_NAMES))
    addresses = (environment.store_uri(), environment.tracking_uri(), environment.figures_uri() or "")
    yield from filter(None, map(environment.local_path, addresses))
    if prefect := os.environ.get("PREFECT_HOME"):
        yield Path(prefect).resolve()
