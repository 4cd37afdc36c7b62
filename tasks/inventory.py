"""What a store holds, whether it is whole, and what of it nobody needs any more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gaze_core.artifacts import ArtifactRef, Manifest
from gaze_core.errors import MissingArtifact
from tasks.store import Store


@dataclass(frozen=True)
class Stored:
    """One folder of the store; without a reference it is what an attempt left that did not finish."""

    uri: str
    stage: str
    created: datetime
    num_bytes: int
    ref: ArtifactRef | None
    parents: tuple[str, ...] = ()  # names


def stored(store: Store, stage: str = "") -> list[Stored]:
    """All folders of a store, or of one stage of it, the oldest first."""
    stages = store.backend.folders(store.root_uri, stage)
    folders = [
        (uri.rpartition("/")[2], folder)
        for uri in stages
        if not stage or uri.endswith(f"/{stage}")
        for folder in store.backend.folders(uri, "")
    ]
    return sorted((_stored(store, name, folder) for name, folder in folders), key=lambda row: row.created)


def _stored(store: Store, stage: str, uri: str) -> Stored:
    files = list(store.backend.files(uri))
    num_bytes = sum(size for _, size, _ in files)
    changed = datetime.fromtimestamp(max((time_s for *_, time_s in files), default=0.0), UTC)
    manifest = _manifest(store, uri)
    if manifest is None or store.uri(manifest.ref) != uri:
        return Stored(uri, stage, changed, num_bytes, None)
    parents = tuple(parent.name for parent in manifest.parents.values())
    return Stored(uri, stage, manifest.created, num_bytes, manifest.ref, parents)


def _manifest(store: Store, uri: str) -> Manifest | None:
    hidden = uri.rpartition("/")[2].startswith(".")  # the name of a folder that is being written or deleted
    text = None if hidden else store.backend.manifest_text(uri)
    try:
        return None if text is None else Manifest.parse(text, uri)
    except MissingArtifact:
        return None


def faults(store: Store, rows: Sequence[Stored]) -> Iterator[tuple[Stored, str]]:
    """Each folder with what is wrong with it, empty if nothing is: fetches and hashes every file."""
    for row in rows:
        fault = "unfinished: no readable manifest"
        if row.ref is not None:
            try:
                store.fetch(row.ref)
                fault = ""
            except MissingArtifact as error:
                fault = str(error)
        yield row, fault


def unneeded(rows: Sequence[Stored], kept_names: Sequence[str], older_than: timedelta) -> list[Stored]:
    """Folders older than `older_than` that no text in `kept_names` names and from which nothing kept descends.

    `rows` must be the whole store: an artifact keeps all that it was made from. An URI is matched by its last two
    parts, stage and folder, which hold lineage and content, so a store that was moved keeps what it kept before.
    """
    newest = datetime.now(UTC) - older_than
    text = "\n".join(kept_names)
    by_name = {_name(row.uri): row for row in rows}
    kept: set[str] = set()
    waiting = [name for name, row in by_name.items() if row.created > newest or name in text]
    while waiting:
        name = waiting.pop()
        if name not in kept and name in by_name:
            kept.add(name)
            waiting += by_name[name].parents
    return [row for name, row in by_name.items() if name not in kept]


def _name(uri: str) -> str:
    return "/".join(uri.split("/")[-2:])
