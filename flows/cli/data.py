"""Convert, preprocess and validate data sets of subject files."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.cli.options import folder_option
from gaze_core.errors import BadInput
from gaze_core.outputs import require_outside
from tasks.console import print_json, print_line

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command()
def validate(
    paths: Annotated[list[Path], typer.Argument(help="Subject files, or folders that hold them.", metavar="PATH...")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable results.")] = False,
) -> None:
    """List every fault of subject files; exit code 0 if there is no error, else 2."""
    from gaze_core.data.validation import validate_file

    faults = {path: validate_file(path) for path in subject_files(paths)}
    errors, warnings = (
        sum(fault.severity == severity for found in faults.values() for fault in found)
        for severity in ("error", "warning")
    )
    if as_json:
        files = [{"path": str(path), "faults": [vars(fault) for fault in found]} for path, found in faults.items()]
        print_json({"files": files, "errors": errors, "warnings": warnings})
    else:
        for path, found in faults.items():
            for fault in found:
                print_line(f"{path}: {fault}")
        print_line(f"{_counted(len(faults), 'file')}: {_counted(errors, 'error')}, {_counted(warnings, 'warning')}")
    if errors:
        raise typer.Exit(BadInput.exit_code)


@app.command()
def convert(
    path: Annotated[Path, typer.Argument(help="A published file, or the folder of the published files.")],
    adapter: Annotated[str, typer.Option(help="Its layout; an unknown name lists the known ones.")],
    out: Annotated[Path, folder_option("Folder for the subject files, one per person.")],
    subject: Annotated[str | None, typer.Option(help="Only this person.")] = None,
) -> None:
    """Turn a published data set's HDF5 or MATLAB files into subject files (docs/datasets.md); a second run goes on."""
    from gaze_core.data.adapters.conversion import convert_subjects
    from gaze_core.data.adapters.published import open_published

    published = open_published(path, adapter, subject)
    require_outside(out, path)
    _print_people(convert_subjects(published, out), out)


@app.command()
def preprocess(
    dataset: Annotated[Literal["eth_xgaze", "mpii_face_gaze"], typer.Argument(help="Which raw release.")],
    images: Annotated[Path, typer.Option(help="Folder with one folder per person.")],
    out: Annotated[Path, folder_option("Folder for the subject files, one per person.")],
    annotations: Annotated[Path | None, typer.Option(help="ETH-XGaze: folder of subjectXXXX.csv.")] = None,
    calibration: Annotated[Path | None, typer.Option(help="ETH-XGaze: folder of camXX.xml.")] = None,
    normalization: Annotated[
        str, typer.Option(help="Name of a normalisation; an unknown name lists the known ones.")
    ] = "eth_xgaze_224",
    face_center: Annotated[bool, typer.Option(help="Gaze starts at the face's centre, as published.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="People processed at a time.")] = 1,
) -> None:
    """Turn raw photographs into subject files; a second run adds the people who are missing."""
    from gaze_core.config import Runtime
    from gaze_core.data.adapters.published import require_name
    from gaze_core.data.adapters.raw import eth_xgaze_frames, mpii_face_gaze_frames
    from gaze_core.geometry.normalization import NORMALIZATIONS
    from gaze_core.preprocess.raw import RawConfig
    from gaze_core.preprocess.raw_subjects import preprocess_subjects

    if normalization not in NORMALIZATIONS:
        raise BadInput(f"no normalisation {normalization!r}; expected one of {', '.join(NORMALIZATIONS)}")
    if dataset == "mpii_face_gaze":
        require_outside(out, images)
        people = {
            require_name(folder.name, folder): partial(mpii_face_gaze_frames, folder)
            for folder in _below(images, "p*")
            if folder.is_dir()
        }
    elif annotations is None or calibration is None:
        raise BadInput("eth_xgaze needs --annotations (folder of subjectXXXX.csv) and --calibration (of camXX.xml)")
    else:
        require_outside(out, images, annotations, calibration)
        people = {
            require_name(path.stem, path): partial(eth_xgaze_frames, path, images / path.stem, calibration)
            for path in _below(annotations, "*.csv")
        }
    origin: Literal["face_center", "eyes"] = "face_center" if face_center else "eyes"
    config = RawConfig(normalization=NORMALIZATIONS[normalization], gaze_origin=origin)
    manifest = preprocess_subjects(people, out, config, dataset, Runtime(num_workers=workers))
    _print_people(((name, manifest["subjects"][name]) for name in sorted(people)), out)


def _print_people(people: Iterable[tuple[str, dict[str, Any]]], out: Path) -> None:
    """Prints a line for each person once that person is done.

    Raises:
        BadInput: for some of them no subject file was made.
    """
    failed = total = 0
    for name, entry in people:
        total, failed = total + 1, failed + ("error" in entry)
        print_line(f"{name}: {entry.get('error') or _kept(entry)}")
    if failed:
        raise BadInput(
            f"{failed} of {total} subjects gave no subject file, for the reasons above; the others are in {out}"
        )


def _kept(entry: dict[str, Any]) -> str:
    return f"kept {_counted(entry['num_kept'], 'frame')}{_reasons(entry['dropped'])}"


def _below(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if not found:
        raise BadInput(f"{folder}: expected a folder with {pattern}, as the data set is published")
    return found


def _reasons(dropped: dict[str, int]) -> str:
    return "".join(f", dropped {count} {reason}" for reason, count in sorted(dropped.items()))


def subject_files(paths: list[Path]) -> list[Path]:
    """The files themselves, and all HDF5 files below the folders, sorted by name.

    Raises:
        BadInput: a path does not exist, or a folder holds no HDF5 file.
    """
    from gaze_core.data.subjects import is_subject_file

    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise BadInput(f"{path}: no such file or folder; expected a subject file or a folder of them")
        below = sorted(p for p in path.rglob("*") if is_subject_file(p)) if path.is_dir() else [path]
        if not below:
            raise BadInput(f"{path}: holds no subject file (.h5, .hdf5); name the file or its folder")
        files += below
    return files


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
