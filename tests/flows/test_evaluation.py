"""Evaluation and comparison flows on tiny models, and their commands."""

import json

import pytest

from flows.references import data_of, find_data, find_reference
from gaze_core.artifacts import ArtifactRef, Produced, files_in
from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.errors import BadInput
from gaze_core.evaluation.report import Tolerance
from gaze_core.stages.redirection.evaluate import EvaluateConfig
from gaze_core.stages.redirection.preprocess import PreprocessConfig
from tasks.store.artifacts import Store
from tests.flows.cli.test_main import gazeworks
from tests.flows.uploaded import uploaded_files
from tests.gaze_core.stages.redirection.tiny_run import CONFIGS, train, write_dataset
from tests.tiny_subject import write_tiny_subject

RUNTIME = Runtime(device="cpu", progress=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    return root


@pytest.fixture
def published(root):
    """Data and checkpoint as references, in this test's own store."""
    store = Store.from_environment()
    files = {name: root / "data" / name for name in (SUBJECT_FILE, SPLITS_FILE)}
    subjects = {"train": ("tiny",), "test": ("tiny",)}
    data = store.publish(
        Produced("dataset", files, subjects=subjects),
        stage="preprocess",
        version=1,
        config=PreprocessConfig(),
        parents={},
    )
    weights = {name: path for name, path in files_in(root / "gaze_gaussian").items() if name == "weights.safetensors"}
    checkpoint = store.publish(
        Produced("checkpoint", weights, subjects=subjects), stage="gaze_gaussian", version=1,
        config=CONFIGS["gaze_gaussian"], parents={"data": data},
    )  # fmt: skip
    return data, checkpoint


@pytest.mark.usefixtures("prefect_api")
def test_a_first_model_must_beat_the_identity_copy_and_a_model_equals_itself(published, tmp_path, monkeypatch):
    from flows import evaluation as flows

    monkeypatch.setattr(flows, "model_name", lambda system, subjects: f"redirection-{tmp_path.name}")
    data, checkpoint = published
    config = EvaluateConfig(num_shown=2)
    alone = flows.evaluation(checkpoint, data, config, tmp_path / "alone", RUNTIME)
    (tmp_path / "again" / "figures").mkdir(parents=True)
    (tmp_path / "again" / "figures" / "key.pem").write_text("secret")
    again = flows.evaluation(checkpoint, data, config, tmp_path / "again", RUNTIME, force=("evaluate",))
    assert uploaded_files("evaluation") == {
        "report/report.html", "report/report.json", "report/figures/numbers.csv",
        "report/figures/redirection_curve.svg",
    }  # fmt: skip
    assert alone.verdict == "not compared"
    assert alone.digests == again.digests
    facts = json.loads((tmp_path / "alone" / "report.json").read_text())
    assert facts["protocol"]["name"] == "synthetic"
    assert {path.name for path in (tmp_path / "alone" / "figures").iterdir()} == {
        "numbers.csv",
        "redirection_curve.svg",
    }

    # Seven steps of training teach nothing, so the eyes do not look where they should: no champion.
    state = flows.comparison(
        checkpoint, None, data, config, tmp_path / "first", Tolerance(), RUNTIME, return_state=True
    )
    first = state.result()
    assert first.registry == f"redirection-{tmp_path.name} version 1"
    assert (state.name == "Regressed") == (first.verdict == "regressed")
    assert first.verdict != "better"

    same = flows.comparison(checkpoint, checkpoint, data, config, tmp_path / "same", Tolerance(), RUNTIME)
    assert same.verdict == "equal"
    assert same.registry == ""
    for metric in json.loads((tmp_path / "same" / "report.json").read_text())["comparison"]["metrics"]:
        assert metric["gain"] == 0


@pytest.mark.usefixtures("prefect_api")
def test_the_command_finds_models_by_report_and_by_folder(published, tmp_path, monkeypatch, capsys):
    data, checkpoint = published
    folder = Store.from_environment().fetch(checkpoint)
    assert find_reference(str(folder)).sha256 == checkpoint.sha256
    assert data_of(find_reference(str(folder))) == data
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"artifacts": {"candidate": checkpoint.model_dump(), "data": data.model_dump()}}))
    assert find_reference(str(tmp_path)) == checkpoint
    assert find_reference(f"{report}:data", "data") == data
    for place, message in [
        (f"{tmp_path}:baseline", "has no artifact 'baseline', only: candidate, data"),
        (f"{tmp_path}:data", None),
        (str(tmp_path / "absent"), "expected the folder of a trained GazeGaussian"),
    ]:
        if message:
            with pytest.raises(BadInput, match=message):
                find_reference(place)
    with pytest.raises(BadInput, match="a checkpoint of stage gaze_gaussian; expected a dataset"):
        find_reference(str(folder), "data")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluate", "--checkpoint", "absent"], "absent: expected the folder of a trained GazeGaussian"),
        (["compare", "--candidate", "absent"], "absent: expected the folder of a trained GazeGaussian"),
        (["compare", "--candidate", "x", "--tolerance", "nose=3"], "expected NAME=VALUE, NAME one of gaze_error_deg"),
        (["compare", "--candidate", "x", "--tolerance", "ssim=-1"], "--tolerance ssim: Input should be greater"),
        (["pairs", "absent.txt", "--protocol", "moon"], "no protocol named 'moon'; there are: synthetic"),
        (["pairs", "absent.txt", "--protocol", "columbia"], "absent.txt: no such file; expected a published pair list"),
        (["pairs", "absent.txt", "--protocol", "gaze_capture"], "names no subjects; name each with --subject"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(monkeypatch, capsys, home, arguments, expected):
    code, out, err = gazeworks(monkeypatch, capsys, *arguments)
    assert code == 2, err
    assert expected in err
    assert len(err.strip().splitlines()) == 1
    assert not out


def test_a_published_list_becomes_a_pair_file(monkeypatch, capsys, tmp_path):
    lines = [str(52 + (k + 7) % 52) for k in range(52)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    out = tmp_path / "pairs.csv"
    arguments = ("pairs", tmp_path / "list.txt", "--protocol", "columbia", "--out", out)
    code, printed, _ = gazeworks(monkeypatch, capsys, *arguments)
    assert (code, "52 pairs for each of 56 subjects" in printed) == (0, True)
    rows = out.read_text().splitlines()
    assert len(rows) == 1 + 56 * 52
    assert rows[1] == "columbia,0001,0,59"


@pytest.mark.usefixtures("prefect_api")
def test_subject_files_of_a_folder_are_measured_with_every_frame(published, tmp_path):
    from flows.evaluation import evaluation

    (tmp_path / "test").mkdir()
    for name in ("anna", "bert"):
        write_tiny_subject(tmp_path / "test" / f"{name}.h5", num_images=4, subject=name)
    place = find_data(str(tmp_path / "test"))
    assert place == tmp_path / "test"
    assert find_data(str(tmp_path / "test" / "anna.h5")) == tmp_path / "test" / "anna.h5"
    _, checkpoint = published
    result = evaluation(checkpoint, place, EvaluateConfig(num_shown=1), tmp_path / "out", RUNTIME)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert result.numbers["psnr_db"] > 0
    manifest = Store.from_environment().manifest(ArtifactRef.model_validate(report["artifacts"]["data"]))
    assert manifest.subjects == {"train": (), "validation": (), "test": ("anna", "bert")}
    assert manifest.metrics["num_test"] == 8
    with pytest.raises(BadInput, match="expected the folder of a trained GazeGaussian"):
        find_data(str(tmp_path))
