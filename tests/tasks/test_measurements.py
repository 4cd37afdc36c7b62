"""Records of measurements: complete, without paths of a machine, and never overwritten."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gaze_core.config import Config
from gaze_core.errors import BadInput
from tasks import measurements
from tasks.measurements import BY_COMMAND, history, read, record_report, record_values

DOCUMENTED = Path(__file__).parents[2] / "docs" / "measured"


class Plan(Config):
    seed: int = 3
    inner: dict[str, int] = {"seed": 7, "steps": 9}


def test_a_record_comes_back_as_it_was_written(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/gazeworks", "demo", "--preset", "small tiny"])
    path = record_values(tmp_path / "demo", "the demo", {"psnr_db": 33.078, "rows": [1.5, None, 2], "ok": True}, Plan())
    record = read(path)
    assert (record.what, record.command) == ("the demo", "gazeworks demo --preset 'small tiny'")
    assert record.values == {"psnr_db": 33.078, "rows": [1.5, None, 2], "ok": True}
    assert record.seeds == {"seed": 3, "inner.seed": 7}
    assert {"python", "torch", "gazeworks"} <= set(record.versions)
    assert record.machine.cores >= 1
    assert record.recorded_from == BY_COMMAND
    assert abs(record.date - datetime.now(UTC)) < timedelta(minutes=5)
    assert path.name == f"{record.date:%Y-%m-%d-%H%M%S}-{record.code}.json"


def test_a_report_is_recorded_without_what_only_its_store_knows(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"psnr_db": 33.0, "artifacts": {"data": "preprocess/1"}}))
    record = read(record_report(tmp_path / "demo", "the demo", tmp_path / "report.html", Plan()))
    assert record.values == {"psnr_db": 33.0}


def test_the_newest_is_last_and_none_is_overwritten(tmp_path):
    new = read(record_values(tmp_path, "x", {"number": 2}))
    old = new.model_copy(update={"date": new.date - timedelta(days=400), "values": {"number": 1}})
    measurements.write(tmp_path, old)
    assert [record.values["number"] for record in history(tmp_path).values()] == [1, 2]
    with pytest.raises(FileExistsError):
        measurements.write(tmp_path, old.model_copy(update={"values": {"number": 3}}))
    assert [record.values["number"] for record in history(tmp_path).values()] == [1, 2]


def test_outside_a_checkout_the_version_names_the_code(monkeypatch, tmp_path):
    monkeypatch.setattr(measurements, "git_commit", lambda: "")
    path = record_values(tmp_path, "x", {"number": 2})
    assert read(path).commit is None
    assert path.stem.endswith(f"-v{read(path).versions['gazeworks']}")


def test_edited_code_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(measurements, "git_commit", lambda: "0123456789abcdef+changes")
    assert record_values(tmp_path, "x", {"number": 2}).stem.endswith("-0123456+changes")


@pytest.mark.parametrize("field", ["what", "command", "commit", "date", "machine", "versions", "seeds", "values"])
def test_a_record_that_lacks_a_field_is_refused(tmp_path, field):
    path = record_values(tmp_path, "x", {"number": 2})
    facts = json.loads(path.read_text())
    del facts[field]
    path.write_text(json.dumps(facts))
    with pytest.raises(BadInput, match=f"expected a record of a measurement, but {field}: Field required"):
        read(path)


@pytest.mark.parametrize(
    ("field", "value"), [("command", ""), ("values", {}), ("versions", {}), ("date", "2026-11-21T08:00:00")]
)
def test_an_empty_field_or_a_time_without_its_zone_is_refused(tmp_path, field, value):
    path = record_values(tmp_path, "x", {"number": 2})
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(BadInput, match=field):
        read(path)


def test_files_of_the_machine_are_named_without_their_folders(monkeypatch, tmp_path):
    home = tmp_path / "me and you"
    monkeypatch.setattr(
        sys, "argv", ["gazeworks", "redirect", "--input", "/media/disk/face.mp4", f"--out={tmp_path}/me"]
    )
    values = {
        "why": "put vgg16.pth into '/root/.cache/gazeworks' or ~/weights/vgg",
        "kept": "12 images/s, 3 / 4, s3://bucket/prefix, https://host/page, relative/path",
        "list": [str(home)],
    }
    path = record_values(tmp_path / "records", "x", values)
    assert str(tmp_path) not in path.read_text()
    record = read(path)
    assert record.command == "gazeworks redirect --input face.mp4 --out=me"
    assert record.values["why"] == "put vgg16.pth into 'gazeworks' or vgg"
    assert record.values["kept"] == values["kept"]
    path.write_text(path.read_text().replace("face.mp4", "/media/disk/face.mp4"))
    with pytest.raises(BadInput, match="without paths of a machine, but found /media/disk/face.mp4"):
        read(path)


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no record"):
        history(tmp_path)


@pytest.mark.parametrize("folder", sorted(DOCUMENTED.iterdir()), ids=lambda folder: folder.name)
def test_the_records_of_the_documents_are_whole(folder):
    for path, record in history(folder).items():
        assert path.stem == f"{record.date.astimezone(UTC):%Y-%m-%d-%H%M%S}-{record.code}"
