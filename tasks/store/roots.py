"""Which paths may be read, written and imported: the one owner of that question.

Who may start a run on a server may name any path in its form, and what a run reads ends in the store for all to see. So
the paths of a form stay below folders that this worker's owner has named, and nobody imports what Gazeworks itself keeps.
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
        BadInput: it leads elsewhere, also by way of `..`, of a link, or of a link below it; or it is hidden.
    """
    return _below(text, _roots(INPUTS_VARIABLE, [Path(), environment.home()]), INPUTS_VARIABLE, "read from")


def output_path(text: str) -> Path:
    """A path to which a run may write: below a folder of `$GAZEWORKS_OUTPUTS`, or else below `reports` here.

    Raises:
        BadInput: as `input_path`.
    """
    return _below(text, _roots(OUTPUTS_VARIABLE, [Path("reports")]), OUTPUTS_VARIABLE, "write to")


def require_inputs(config: Config) -> None:
    """Raises BadInput unless a run may read every file that a configuration names: a form can change any setting."""
    for path in config.named_paths():
        input_path(str(path))


def require_foreign(path: Path) -> None:
    """Raises BadInput for what must not be imported as a recording: what Gazeworks keeps, or a folder that holds it.

    What lies in the store may be: an artifact's content is there already. Hidden files of a folder are not imported.
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


def _roots(variable: str, default: Sequence[Path]) -> list[Path]:
    named = [Path(part) for part in os.environ.get(variable, "").split(os.pathsep) if part]
    return [root.resolve() for root in named or default]


def _below(text: str, roots: Sequence[Path], variable: str, what: str) -> Path:
    try:
        path = Path(text).resolve()
        places = [path, *_links_below(path)]
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise BadInput(f"{text!r}: not a path ({error})") from error
    for place in places:
        if not any(place.is_relative_to(root) and not _is_hidden(place.relative_to(root)) for root in roots):
            leads = "" if place == path else f" holds a link to {place};"
            raise BadInput(
                f"{text}:{leads} runs on this worker may {what} {', '.join(map(str, roots))} only, and nothing hidden; its "
                f"owner can name more in {variable}"
            )
    return path


def _links_below(path: Path) -> Iterator[Path]:
    """Where each link below a folder leads."""
    for folder, folders, files in os.walk(path):
        entries = (Path(folder, name) for name in (*folders, *files))
        yield from (entry.resolve() for entry in entries if entry.is_symlink())


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _kept_here() -> Iterator[Path]:
    """Files and folders of this machine in which Gazeworks and its servers keep their things."""
    yield from (path for path in environment.home().glob("*") if path.name.startswith(environment.OWN_NAMES))
    addresses = (environment.store_uri(), environment.tracking_uri(), environment.figures_uri() or "")
    yield from filter(None, map(environment.local_path, addresses))
    if prefect := os.environ.get("PREFECT_HOME"):
        yield Path(prefect).resolve()
