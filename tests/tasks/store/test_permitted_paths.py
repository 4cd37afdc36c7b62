"""Paths that a run may read, write and import."""

import re
from pathlib import Path

import pytest

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.models.kl_autoencoder import AutoencoderConfig
from gaze_core.plans.redirection import redirection_plan
from tasks import environment
from tasks.store import permitted_paths
from tasks.store.artifacts import Store
from tasks.store.recordings import import_recording, require_recording
from tests.tasks.store.test_artifacts import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(
    params=[
        (permitted_paths.INPUTS_VARIABLE, permitted_paths.input_path),
        (permitted_paths.OUTPUTS_VARIABLE, permitted_paths.output_path),
    ]
)
def check(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Either check, with `data` as the only permitted folder."""
    (tmp_path / "data" / "inside").mkdir(parents=True)
    monkeypatch.setenv(request.param[0], str(tmp_path / "data"))
    return request.param[1]


@pytest.mark.parametrize("text", ["data2/secret", "data2", "data.bak", "data/../data2/secret", ".", "/etc/passwd"])
def test_a_folder_whose_name_begins_alike_is_another(check, text: str, tmp_path: Path) -> None:
    (tmp_path / "data2").mkdir()
    with pytest.raises(BadInput, match=rf"may (read from|write to) {tmp_path}/data only"):
        check(str(tmp_path / text))
    assert check(str(tmp_path / "data")) == tmp_path / "data"


@pytest.mark.parametrize("target", ["secret.png", "folder", "../data2"])
def test_a_link_below_a_permitted_folder_must_not_lead_out(check, target: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret.png").write_text("secret")
    link = tmp_path / "data" / "inside" / "link"
    link.symlink_to(tmp_path / "data")
    assert check(str(tmp_path / "data" / "inside")) == tmp_path / "data" / "inside"
    link.unlink()
    link.symlink_to(tmp_path / target)
    with pytest.raises(BadInput, match=f"holds a link to {(tmp_path / target).resolve()}; runs on this worker"):
        check(str(tmp_path / "data" / "inside"))


@pytest.mark.parametrize("text", ["data/.env", "data/.git/config", "data/a\0b"])
def test_a_hidden_path_or_no_path_is_refused(check, text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing hidden|not a path"):
        check(f"{tmp_path}/{text}")


def test_every_path_that_a_configuration_names_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Inner(Config):
        weights: dict[str, tuple[Path, ...]]

    class Outer(Config):
        inner: Inner | None = None
        autoencoder: AutoencoderConfig = AutoencoderConfig()

    monkeypatch.setenv(permitted_paths.INPUTS_VARIABLE, str(tmp_path / "data"))
    permitted_paths.require_inputs(
        Outer(inner=Inner(weights={"a": (tmp_path / "data" / "a", tmp_path / "data" / "b")}))
    )
    permitted_paths.require_inputs(redirection_plan("paper"))
    for bad in (
        Outer(inner=Inner(weights={"a": (tmp_path / "data" / "a", tmp_path / "secret")})),
        Outer(autoencoder=AutoencoderConfig(source=str(tmp_path / "secret"))),
        Outer(autoencoder=AutoencoderConfig(source="../secret")),
    ):
        with pytest.raises(BadInput, match="runs on this worker may read from"):
            permitted_paths.require_inputs(bad)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stabilityai" / "sd-vae-ft-mse").mkdir(parents=True)  # then it is no id of the hub
    with pytest.raises(BadInput, match="runs on this worker may read from"):
        permitted_paths.require_inputs(AutoencoderConfig())
    for name in ("revision", "subfolder"):
        with pytest.raises(ValueError, match="pattern"):
            AutoencoderConfig(**{name: "../../secret"})


def refused(path: Path) -> bool:
    try:
        require_recording(path)
    except BadInput as error:
        return "Gazeworks keeps its own things in" in str(error)
    return False


def test_gazeworks_own_files_are_never_imported(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.from_environment()
    (tmp_path / "w.bin").write_text("x")
    ref = store.publish(
        Produced("dataset", {"w.bin": tmp_path / "w.bin"}), stage="fit", version=1, config=Settings(), parents={}
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'db' / 'mlflow#1.db'}")
    for folder in ("prefect", "mlruns/1", "recordings"):
        (home / folder).mkdir(parents=True)
    files = [home / "prefect" / "profiles.toml", home / "mlflow.db-wal", home / "recordings" / "me.png"]
    (tmp_path / "db").mkdir()
    for file in (*files, tmp_path / "db" / "mlflow#1.db"):
        file.write_text("content")
    own = [home, home / "store", home / "store" / "fit", home / "prefect", *files[:2], tmp_path, tmp_path / "db"]
    assert [path for path in own if not refused(path)] == []
    link = tmp_path / "link"
    link.symlink_to(home)
    assert refused(link)
    with pytest.raises(BadInput, match="Gazeworks keeps its own things"):
        import_recording.fn(home)
    free = [home / "recordings", files[2], store.fetch(ref), store.fetch(ref) / "w.bin"]
    assert [path for path in free if refused(path)] == []
    monkeypatch.setenv("GAZEWORKS_STORE", tmp_path.as_uri())  # the home lies in the store
    assert [path for path in own if not refused(path)] == []


def test_a_hidden_home_below_a_recording_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `redirect --input .` beside the default home."""
    folder = tmp_path / "me"
    monkeypatch.setenv("GAZEWORKS_HOME", str(folder / ".gazeworks"))
    (folder / ".gazeworks" / "work").mkdir(parents=True)
    for name in ("0.png", ".env", ".gazeworks/work/big.png"):
        (folder / name).write_text("content")
    ref = import_recording.fn(folder)
    assert list(Store.from_environment().manifest(ref).files) == ["me/0.png"]


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile '{}'\n", "<MPD>{}</MPD>"])
def test_a_list_of_videos_in_other_files_is_no_recording(text: str, tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text(text.format("/somewhere/secret.mp4"))
    with pytest.raises(BadInput, match="names videos in other files"):
        require_recording(tmp_path / "list.m3u8")


def test_every_file_in_the_home_is_known() -> None:
    sources = "".join(path.read_text() for package in ("tasks", "flows") for path in (ROOT / package).rglob("*.py"))
    named = set(re.findall(r"""home\(\) / ["']([\w.]+)["']""", sources))
    assert {"store", "mlflow.db", "work"} <= named
    assert named | {"assets"} == set(environment.OWN_NAMES)
