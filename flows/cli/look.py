"""`gazeworks look`: a photograph, a folder of them or a video whose eyes look elsewhere."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.angles import parse_angles
from flows.cli.options import Device, Json, folder_option
from gaze_core.assets import resolve, search_beside
from gaze_core.errors import BadInput
from gaze_core.outputs import require_outside
from tasks import environment
from tasks.console import print_json, print_line
from tasks.server.own_server import prefect_server

if TYPE_CHECKING:
    from flows.look import Looked

_MAX_DEG = 60.0


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(look)


def look(
    recording: Annotated[Path, typer.Option("--input", help="A photograph, a folder of them, or a video.")],
    gaze: Annotated[
        str,
        typer.Option(
            help='"pitch,yaw" in degrees, in the frame of the camera, turned toward the face: 0,0 looks into the lens, '
            "pitch > 0 is up, yaw > 0 is toward the left of the picture."
        ),
    ],
    head: Annotated[
        str | None, typer.Option(help='Also turn the head by "pitch,yaw" degrees from its own pose. Not with --paste.')
    ] = None,
    paste: Annotated[
        bool, typer.Option("--paste", help="Turn the eyes in the picture itself; all else in it stays as it is.")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a trained GazeGaussian of several people, or of its report; else the shipped one."
        ),
    ] = None,
    out: Annotated[Path, folder_option("Folder for the pictures and look.json.")] = Path("look"),
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Let the eyes of a photograph or a video look elsewhere. Of several faces the largest is used."""
    gaze_deg = _angles(gaze, "--gaze")
    head_deg = _angles(head, "--head") if head else (0.0, 0.0)
    if paste and (head or checkpoint):
        raise BadInput(
            f"--paste turns the eyes only and needs no model; leave out {'--head' if head else '--checkpoint'}, or --paste"
        )
    search_beside(recording)
    require_outside(out, recording)
    with prefect_server() as ready:  # its start takes as long as these imports
        from flows.look import LookHeadPlan, look
        from flows.references import checkpoint_ref
        from gaze_core.config import Runtime
        from gaze_core.data.subjects import is_subject_file
        from gaze_core.evaluation.readers import LOOK_READERS, why_not
        from gaze_core.stages.redirection.look_head import LookHeadConfig
        from gaze_core.stages.redirection.look_paste import LookPasteConfig
        from tasks.store.recordings import require_recording

        if is_subject_file(recording):
            raise BadInput(f"{recording}: a subject file, expected a photograph or a video; see gazeworks sample")
        require_recording(recording, "video")
        resolve("face_landmarker")
        given = checkpoint_ref(checkpoint) if checkpoint else None
        readers = tuple(name for name in LOOK_READERS if not why_not(name))
        plan = (
            LookPasteConfig(gaze_deg=gaze_deg, readers=readers)
            if paste
            else LookHeadPlan(look=LookHeadConfig(gaze_deg=gaze_deg, head_deg=head_deg, readers=readers))
        )
        environment.configure_logging()
        ready()
        results = look(recording.resolve(), plan, given, Runtime(device=device))
    records = _write(results, out)
    if as_json:
        print_json(records)
    else:
        _report(results, out)
    if all(result.fault for result in results):
        raise BadInput(f"{recording}: none of {len(results)} pictures can be used; give others")


def _angles(text: str, option: str) -> tuple[float, float]:
    angles = parse_angles(text, option)
    if len(angles) != 1 or not all(abs(angle) <= _MAX_DEG for angle in angles[0]):
        raise BadInput(f'{option} {text!r}: expected one "pitch,yaw", each within {_MAX_DEG:g} degrees: "0,20"')
    return angles[0]


def _names(results: "Sequence[Looked]") -> list[str]:
    """A name for each recording: its own without the ending, unless two differ by the ending only."""
    stems = Counter(result.recording.stem for result in results)
    return [r.recording.stem if stems[r.recording.stem] == 1 else r.recording.name for r in results]


def _write(results: "Sequence[Looked]", out: Path) -> dict[str, object]:
    from gaze_core.artifacts import MANIFEST_FILE
    from gaze_core.atomic import write_text
    from gaze_core.stages.redirection.look_record import RECORD_FILE

    out.mkdir(parents=True, exist_ok=True)
    records: dict[str, object] = {}
    for name, result in zip(_names(results), results, strict=True):
        records[name] = {"fault": result.fault} if result.record is None else result.record.model_dump(mode="json")
        for file in sorted(result.folder.iterdir()) if result.folder else ():
            if file.name not in (MANIFEST_FILE, RECORD_FILE):
                shutil.copyfile(file, out / f"{name}_{file.name}")
    write_text(out / RECORD_FILE, json.dumps(records, indent=1) + "\n")
    return records


def _report(results: "Sequence[Looked]", out: Path) -> None:
    from gaze_core.evaluation.readings import readings_text

    for name, result in zip(_names(results), results, strict=True):
        if result.record is None:
            print_line(f"{name}: left out: {result.fault}")
            continue
        record = result.record
        asked, drawn = (f"{pitch:g},{yaw:g}" for pitch, yaw in (record.asked_deg, record.drawn_deg))
        print_line(f"{name}: asked for {asked}; {readings_text(record.readings)}")
        if record.is_limited:
            print_line(f"{name}: drawn at {drawn}: {asked} is more than eyes turn in this head")
        if record.faces and record.faces > 1:
            print_line(f"{name}: {record.faces} faces, of which the largest is used; cut the picture for another one")
        for reason, count in record.left_alone.items():
            print_line(f"{name}: left alone: {reason}" + (f" ({count} times)" if count > 1 else ""))
    print_line(f"pictures: {out}")
