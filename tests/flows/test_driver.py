"""The driver flow on a tiny drive: run twice, forced, from earlier weights; and its commands."""

import json
from pathlib import Path

import pytest
import torch

from flows.cli import main as cli
from gaze_core.config import Runtime
from gaze_core.driver.checkpoints import estimator_card, load_estimator, save_estimator
from gaze_core.driver.shipped_files import BASE_FILE, shipped
from gaze_core.driver.view import DRIVER_FACE
from gaze_core.errors import BadInput
from gaze_core.models.estimation.face_estimator import FaceEstimator, FaceEstimatorConfig
from tests.flows.cli.test_main import gazeworks
from tests.flows.uploaded import uploaded_files
from tests.gaze_core.driver.conftest import *  # noqa: F403 (fixtures)
from tests.gaze_core.driver.tiny_drive import LAYOUT
from tests.gaze_core.reports.html import assert_self_contained, headings, read_page

SECTIONS = [
    "Example frames", "Checks", "Errors", "Errors by scenario and by gaze zone", "Training curves", "Data",
    "Trained models", "Sources",
]  # fmt: skip

SETTINGS = {
    "layout": LAYOUT, "gaze_frame": "camera", "size_px": 64,
    "blocks": {"num_stretches": 1, "gap_s": 0.05, "validation_fraction": 0.2},
}  # fmt: skip


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    model = FaceEstimator(FaceEstimatorConfig(image_px=32, hidden=8))
    path = tmp_path / "base.safetensors"
    save_estimator(path, model, estimator_card(model, "test", 1, None, DRIVER_FACE.model_dump(mode="json"), {}))
    return path


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(SETTINGS))
    return path


@pytest.mark.usefixtures("prefect_api")
def test_the_flow_reports_before_and_after_and_reuses_every_stage(
    tiny_drive, weights, settings, shared_data, tmp_path, monkeypatch
):
    from flows.driver import DriveFiles, driver
    from gaze_core.plans.driver import driver_plan

    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    plan = driver_plan("frozen", "whole", settings, 30, ["finetune.epochs=1"])
    files = DriveFiles(video=tiny_drive.video, sensors=tiny_drive.table)
    runtime = Runtime(device="cpu", progress=False)

    def run(name, **options):
        driver(files, weights, plan, tmp_path / name, runtime, return_state=True, **options)
        return json.loads((tmp_path / name / "report.json").read_text())

    (tmp_path / "first").mkdir()
    (tmp_path / "first" / ".env").write_text("PASSWORD=secret")  # the report may go to a folder with anything in it
    first = run("first")
    assert uploaded_files("driver") == {"report/report.html", "report/report.json", "report/report.md"}
    second = run("second")
    names = ["driver_extract", "driver_finetune", "driver_evaluate", "driver_evaluate", "driver_compare"]
    assert [stage["name"] for stage in first["stages"]] == names
    assert [stage["how"] for stage in first["stages"]] == ["computed"] * 5
    assert [stage["how"] for stage in second["stages"]] == ["cached"] * 5
    assert second["numbers"] == first["numbers"]
    assert set(first["errors"]) == {
        "before", "after", "before, constant", "before, head pose", "before, bias", "before, affine",
    }  # fmt: skip
    assert first["verdict"] in ("better", "equal", "regressed")
    html = tmp_path / "first" / "report.html"
    assert_self_contained(html)
    assert headings(html) == SECTIONS
    _, text = read_page(html)
    for fact in ("Driver gaze: drive", "30 frames requested", "constant baseline", "before, affine corrected", "azimuth",
                 "gaze error, °", "Evenly spread", "driver_finetune"):  # fmt: skip
        assert fact in text
    assert "store/driver_finetune/" in text
    assert "kept the weights of step" in text
    assert "driver_finetune: computed" in (tmp_path / "first" / "log.txt").read_text()
    page = (tmp_path / "first" / "report.md").read_text()
    assert "beats every baseline" in page or "does not beat every baseline" in page
    assert "30 frames requested" in page
    forced = run("forced", force=("driver_compare",))
    assert [stage["how"] for stage in forced["stages"]] == ["cached"] * 4 + ["computed"]

    from flows.apps.driver.serve import sources

    content = sources(tmp_path / "first", None, (weights,))
    assert list(content["estimators"]) == ["before fine-tuning", "after fine-tuning", "base"]


@pytest.mark.usefixtures("prefect_api")
def test_a_run_without_weights_starts_from_the_estimator_that_ships(
    tiny_drive, settings, shared_data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    options = ["--video", tiny_drive.video, "--sensors", tiny_drive.table, "--settings", settings, "--frames", 30,
               "--preset", "frozen", "--set", "finetune.epochs=1", "--device", "cpu"]  # fmt: skip
    code, _, err = gazeworks(monkeypatch, capsys, "driver", "run", *options, "--out", tmp_path / "out")
    assert not code, err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["started_from"] == "the estimator that ships with the package"
    backbone = load_estimator(shipped(BASE_FILE))[0].config.backbone
    page = (tmp_path / "out" / "report.md").read_text()
    assert f"Fine-tuning started from the estimator that ships with the package: {backbone}, trained on" in page
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "fine-tuning starts from the estimator that ships with the package" in log


@pytest.mark.usefixtures("prefect_api")
def test_an_estimator_that_became_worse_ends_as_regressed(
    tiny_drive, weights, settings, shared_data, tmp_path, monkeypatch
):
    from flows.driver import DriveFiles, driver
    from gaze_core.plans.driver import driver_plan

    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    far_too_fast = ["finetune.epochs=1", "finetune.learning_rate=10", "finetune.batch_size=4"]
    plan = driver_plan("frozen", "whole", settings, 30, far_too_fast)
    files = DriveFiles(video=tiny_drive.video, sensors=tiny_drive.table)
    state = driver(files, weights, plan, tmp_path / "out", Runtime(device="cpu", progress=False), return_state=True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["verdict"] == "regressed", report["numbers"]
    assert (state.type.value, state.name) == ("COMPLETED", "Regressed")
    assert "(before)" in state.message


@pytest.mark.usefixtures("prefect_api")
def test_an_unlabelled_video_is_extracted_to_a_folder(tiny_drive, settings, shared_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    out = tmp_path / "out"
    command = ["driver", "extract", "--video", tiny_drive.video, "--settings", settings, "--frames", 6, "--out", out]
    monkeypatch.setattr("sys.argv", ["gazeworks", *map(str, command), "--json"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    assert not stopped.value.code, printed.err
    assert json.loads(printed.out)["kept"] == 6
    assert len(list((out / "frames" / "driver").iterdir())) == 6
    (out / "drive.json").touch()
    monkeypatch.setattr("sys.argv", ["gazeworks", *map(str, command), "--json"])
    with pytest.raises(SystemExit):  # once more, in place of the first
        cli.main()
    assert (out / "drive.json").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


def test_an_extracted_drive_replaces_only_an_earlier_drive(tmp_path, monkeypatch):
    from flows.cli.drive_folder import require_drive_folder

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for out in (".", "..", str(work)):
        with pytest.raises(BadInput, match="the current folder"):
            require_drive_folder(Path(out))
    video = work / "drives" / "deep" / "v.mp4"
    video.parent.mkdir(parents=True)
    video.touch()
    for out in (Path("drives"), video.parent, work / "link"):
        if out.name == "link":
            out.symlink_to(video.parent)
        with pytest.raises(BadInput, match="holds the input v.mp4"):
            require_drive_folder(out, (video, None))
    with pytest.raises(BadInput, match="there is a file"):
        require_drive_folder(video)
    earlier = work / "earlier"
    earlier.mkdir()
    assert require_drive_folder(earlier) == earlier  # empty
    (earlier / "subject.h5").touch()
    with pytest.raises(BadInput, match=r"not empty, and not only an extracted drive \(no drive.json\)"):
        require_drive_folder(earlier)
    (earlier / "drive.json").touch()
    assert require_drive_folder(earlier) == earlier
    (earlier / "notes.txt").touch()  # would be lost
    with pytest.raises(BadInput, match=r"not only an extracted drive \(notes.txt\)"):
        require_drive_folder(earlier)


MISTAKES = [
    (["--video", "absent.mp4"], "absent.mp4: no such file or folder; expected video"),
    (["--preset", "huge"], "unknown preset 'huge'; expected one of: full, frozen"),
    (["--layout", "moon"], "unknown layout 'moon'; expected one of: whole, dashgaze"),
    (["--settings", "absent.json"], "absent.json: no such file or folder; expected JSON"),
    (["--set", "finetune.epoch=3"], "unknown key 'epoch'; known here: freeze_backbone, epochs"),
    (["--set", "finetune.epochs=-3"], "finetune.epochs: Input should be greater than 0"),
    (["--set", "nonsense"], "expected KEY=VALUE"),
    (["--set", 'extract.layout={"frame_px": [10, 10], "road": [5, 5, 9, 9]}'], "reaches beyond the frame of"),
    (["--weights", "absent.pth"], "absent.pth: no such file or folder; expected estimator"),
]


@pytest.mark.parametrize(("changed", "expected"), MISTAKES)
def test_a_mistake_that_needs_no_work_is_one_line_and_exit_code_2(
    monkeypatch, capsys, tmp_path, home, changed, expected
):
    (tmp_path / "v.mp4").touch()
    (tmp_path / "w.pth").touch()
    given = {"--video": tmp_path / "v.mp4", "--sensors": tmp_path / "v.mp4", "--weights": tmp_path / "w.pth"}
    given |= dict([changed])
    code, out, err = gazeworks(monkeypatch, capsys, "driver", "run", *(part for pair in given.items() for part in pair))
    assert (code, out) == (2, "")
    assert expected in err
    assert len(err.strip().splitlines()) == 1
    assert not (home / "store").exists()


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    ("spoilt", "content", "expected"),
    [
        ("video", b"no video", "drive.mp4: not a readable video"),
        ("sensors", b'frame,azimuth,elevation\n1,"2,3\n2,2,3\n', "drive.csv: line 2: unexpected end of data"),
        ("sensors", b"frame,azimuth [\xb0],elevation\n", "drive.csv: not UTF-8 text"),
        ("weights", b"", "base.safetensors: not a face estimator"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_before_anything_is_imported(
    tiny_drive, weights, settings, monkeypatch, capsys, tmp_path, spoilt, content, expected
):
    given = {"video": tmp_path / "drive.mp4", "sensors": tmp_path / "drive.csv", "weights": weights}
    for name, original in (("video", tiny_drive.video), ("sensors", tiny_drive.table)):
        given[name].write_bytes(original.read_bytes())
    given[spoilt].write_bytes(content)
    store = tmp_path / "store"
    monkeypatch.setenv("GAZEWORKS_STORE", store.as_uri())
    options = [part for name, path in given.items() for part in (f"--{name}", path)]
    out = tmp_path / "report"
    code, printed, err = gazeworks(monkeypatch, capsys, "driver", "run", *options, "--settings", settings, "--out", out)
    assert (code, printed) == (2, "")
    assert expected in err
    assert len(err.strip().splitlines()) == 1
    assert not out.exists()
    assert not list(store.rglob("*.*"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["driver", "extract", "--video", "x", "--legacy", "y"], "--legacy writes ground truth and needs"),
        (["driver", "pretrain", "--people", "absent"], "absent: no such folder; render people with"),
        (["driver", "import-weights", "absent.pth"], "absent.pth: no such file"),
        (["driver", "pretrain", "--people", ".", "--out", "base.safetensors"], "lies in the folder of people"),
        (["driver", "import-weights", "x.pth", "--out", "./x.pth"], "is the file to import; choose another --out"),
        (["driver", "synth", "--out", "."], ".: not empty, and not a synthetic drive"),
        (["app", "driver"], "nothing to show; give --report FOLDER (of driver run) or --data FOLDER"),
        (["app", "driver", "--report", "absent"], "absent: no report of a driver run"),
        (["app", "driver", "--data", "absent"], "absent: no extracted drive"),
    ],
)
def test_other_commands_report_what_is_missing(monkeypatch, capsys, arguments, expected):
    code, _, err = gazeworks(monkeypatch, capsys, *arguments)
    assert code == 2, err
    assert expected in err
    assert len(err.strip().splitlines()) == 1


def test_earlier_weights_are_converted(monkeypatch, capsys, tmp_path):
    from torch import nn
    from torchvision.models import resnet18

    from gaze_core.driver.checkpoints import load_estimator

    model = resnet18(weights=None)
    model.fc = nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, 2))
    torch.save(model.state_dict(), tmp_path / "gaze_tracker_endterm.pth")
    out = tmp_path / "ours.safetensors"
    code, _, err = gazeworks(
        monkeypatch, capsys, "driver", "import-weights", tmp_path / "gaze_tracker_endterm.pth", "--out", out
    )
    assert not code, err
    loaded, card = load_estimator(out)
    assert loaded.config.image_px == 224
    assert card["normalization"]["size_px"] == 224
