"""The artifacts in a store and their copies on this machine: lists them, verifies them, finds the unneeded ones.

Only folders named `<stage>/<lineage>-<content>` are considered, and a readable manifest must name its own folder.
Anything else in a store belongs to somebody else, and is neither listed nor changed.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from gaze_core.artifacts import ArtifactRef, Manifest
from gaze_core.errors import BadInput, MissingArtifact
from tasks.store import disk
from tasks.store.address import local_path
from tasks.store.artifacts import Store

State = Literal["", "unfinished", "unreadable manifest", "copy"]
AT_WORK = timedelta(days=1)  # for this long, another run may still write a folder without manifest, or read a copy

_STAGE = re.compile(r"[a-z][a-z0-9_]*")
_FOLDER = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")
_BEING_CHANGED = re.compile(rf"\.{_FOLDER.pattern}\..+")  # the name of a folder that is being written or deleted
_NAME = re.compile(rf"{_STAGE.pattern}/{_FOLDER.pattern}")


@dataclass(frozen=True)
class Stored:
    """One folder of a store, or a copy of one. Without a reference it is not a complete artifact; `state` says why."""

    uri: str
    stage: str
    created: datetime  # without a manifest, and for a copy: when it was last written or fetched
    num_bytes: int
    state: State = ""
    ref: ArtifactRef | None = None
    parents: tuple[str, ...] = ()  # names, <stage>/<folder>

    @property
    def name(self) -> str:
        """`<stage>/<folder>`: the same in every store."""
        return "/".join(self.uri.split("/")[-2:])


def stored(store: Store, stage: str = "") -> list[Stored]:
    """All artifacts of a store, or of one stage of it, finished or not, the oldest first.

    Raises:
        BadInput: the store holds nothing of this stage.
    """
    folders = [uri for uri in store.backend.folders(store.root_uri, "") if _STAGE.fullmatch(_last(uri))]
    wanted = [uri for uri in folders if stage in ("", _last(uri))]
    found = [_stored(store, _last(uri), folder) for uri in wanted for folder in store.backend.folders(uri, "")]
    rows = sorted((row for row in found if row is not None), key=lambda row: row.created)
    if stage and not rows:
        known = ", ".join(sorted({row.stage for row in stored(store)})) or "nothing"
        raise BadInput(f"no artifact of a stage {stage!r} in {store.root_uri}; it holds: {known}")
    return rows


def copies(cache_dir: Path) -> list[Stored]:
    """Artifacts downloaded from a bucket that are still on this machine, the longest unused first."""
    return sorted(_copies(cache_dir), key=lambda row: row.created)


def faults(store: Store, rows: Sequence[Stored]) -> Iterator[tuple[Stored, str]]:
    """Fetches and hashes every file. Yields each folder with its fault, empty if there is none."""
    for row in rows:
        fault = f"{row.name}: {row.state}"
        if row.ref is not None:
            try:
                store.fetch(row.ref)
                fault = ""
            except MissingArtifact as error:
                fault = str(error)
        yield row, fault


def unneeded(rows: Sequence[Stored], kept_names: Sequence[str], older_than: timedelta) -> list[Stored]:
    """Folders older than `older_than` that no text in `kept_names` names and that have no kept descendant.

    `rows` must be the whole store, since an artifact keeps its parents. Artifacts are matched by name, that is by
    lineage and content, so moving a store changes nothing. A manifest that cannot be read may be a newer version's,
    so its artifact stays, with all that it names.
    """
    now, named = datetime.now(UTC), names_in(kept_names)
    by_name = {row.name: row for row in rows}
    kept: set[str] = set()
    waiting = [
        name
        for name, row in by_name.items()
        if name in named or row.state == "unreadable manifest" or row.created > now - _least_age(row, older_than)
    ]
    while waiting:
        name = waiting.pop()
        if name not in kept and name in by_name:
            kept.add(name)
            waiting += by_name[name].parents
    return [row for name, row in by_name.items() if name not in kept]


def unneeded_copies(
    found: Sequence[Stored], remaining: Sequence[Stored], in_use: Sequence[str], older_than: timedelta
) -> list[Stored]:
    """Copies of artifacts that are not among the store's `remaining` ones, or not fetched for `older_than`.

    Copies that a text in `in_use` names or that were fetched within a day are excluded.
    """
    now, used, names = datetime.now(UTC), names_in(in_use), {row.name for row in remaining}
    return [
        row
        for row in found
        if row.name not in used and row.created < now - (_least_age(row, older_than) if row.name in names else AT_WORK)
    ]


def names_in(texts: Iterable[str]) -> set[str]:
    """The names of artifacts in these texts, alone or at the end of an address."""
    return {name for text in texts for name in _NAME.findall(text)}


def remove(store: Store, row: Stored) -> None:
    """Deletes a folder of the store, or a copy."""
    if row.state == "copy":
        disk.remove(local_path(row.uri))
    else:
        store.backend.delete(row.uri)


def _least_age(row: Stored, older_than: timedelta) -> timedelta:
    return older_than if row.ref is not None else max(older_than, AT_WORK)


def _stored(store: Store, stage: str, uri: str) -> Stored | None:
    """The artifact in a folder; None if the folder is not one of ours."""
    folder = _last(uri)
    is_finished = _FOLDER.fullmatch(folder) is not None
    if not is_finished and not _BEING_CHANGED.fullmatch(folder):
        return None
    text = store.backend.manifest_text(uri) if is_finished else None
    manifest = None if text is None else _manifest(text, uri)
    if manifest is not None and manifest.ref.name != f"{stage}/{folder}":
        return None
    files = list(store.backend.files(uri))
    num_bytes = sum(size for _, size, _ in files)
    changed = datetime.fromtimestamp(max((time_s for *_, time_s in files), default=0.0), UTC)
    if text is None:
        return Stored(uri, stage, changed, num_bytes, "unfinished")
    parents = tuple(sorted(names_in([text]) - {f"{stage}/{folder}"}))
    if manifest is None:
        return Stored(uri, stage, changed, num_bytes, "unreadable manifest", parents=parents)
    return Stored(uri, stage, manifest.created, num_bytes, "", manifest.ref, parents)


def _manifest(text: str, where: str) -> Manifest | None:
    try:
        return Manifest.parse(text, where)
    except MissingArtifact:
        return None


def _copies(cache_dir: Path) -> Iterator[Stored]:
    for parent, folders, files in os.walk(cache_dir):
        stage = Path(parent).name
        if stage == disk.SCRATCH_DIR:  # of downloads that a killed run did not finish
            yield from (_copy(Path(parent) / name) for name in files)
        for name in filter(_FOLDER.fullmatch, list(folders) if _STAGE.fullmatch(stage) else []):
            folders.remove(name)
            yield _copy(Path(parent) / name)


def _copy(path: Path) -> Stored:
    files = [file.lstat() for file in (path, *path.rglob("*")) if not file.is_dir()]
    used = datetime.fromtimestamp(max((file.st_mtime for file in files), default=0.0), UTC)
    return Stored(path.absolute().as_uri(), path.parent.name, used, sum(file.st_size for file in files), "copy")


def _last(uri: str) -> str:
    return uri.rpartition("/")[2]
