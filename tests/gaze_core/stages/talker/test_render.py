"""A film of a trained head: driven by its recording or by other sound, composited exactly, refined if it can be."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.models.talker.checkpoint import load_talker
from gaze_core.models.talker.config import PRESETS
from gaze_core.stages.context import StageContext
from gaze_core.stages.talker import coarse, fine, refine, render
from gaze_core.stages.talker.coarse import TalkerCoarseConfig
from gaze_core.stages.talker.fine import TalkerFineConfig
from gaze_core.stages.talker.refine import RefineConfig, load_refiner
from gaze_core.stages.talker.render import FILM_FILE, UNREFINED_FILE, TalkerRenderConfig
from gaze_core.stages.talker.training import PreviewConfig, ValidationConfig
from gaze_core.talker.driving import held_out
from gaze_core.talker.renderer import Renderer
from gaze_core.talker.subject import TalkerSubject
from gaze_core.talker.subject_files import write_wav
from tests.talking_head import write_talking_head

NETWORK = PRESETS["tiny"].model_copy(update={"min_head_points": 300, "mouth_points": 20, "points_per_eye": 20})
QUIET = {"validation": ValidationConfig(every_steps=0), "previews": PreviewConfig(every_steps=0)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A subject and a head trained on it, hardly."""
    root = tmp_path_factory.mktemp("render")
    found = {"data": write_talking_head(root / "data", count=44, size_px=32), "checkpoint": root / "fine"}
    coarse_config = TalkerCoarseConfig(network=NETWORK, num_steps=2, **QUIET)
    coarse.run(coarse_config, {"data": found["data"]}, context_of(root / "coarse"))
    inputs = {"data": found["data"], "coarse": root / "coarse"}
    fine.run(TalkerFineConfig(num_steps=2, **QUIET), inputs, context_of(found["checkpoint"]))
    return found


def context_of(folder: Path) -> StageContext:
    folder.mkdir(parents=True, exist_ok=True)
    return StageContext(Runtime(device="cpu"), folder)


def features_file(folder: Path, windows: np.ndarray) -> Path:
    folder.mkdir()
    np.save(folder / "features.npy", windows)
    return folder


def num_frames(film: Path) -> int:
    with av.open(str(film)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_film_of_held_out_time(folders: dict[str, Path], tmp_path: Path) -> None:
    found = render.run(TalkerRenderConfig(), folders, context_of(tmp_path))
    assert set(found.files) == {FILM_FILE}
    assert num_frames(found.files[FILM_FILE]) == 4 == found.metrics["frames"]


def test_background_is_exact_where_there_is_no_head(folders: dict[str, Path]) -> None:
    subject, (model, _) = TalkerSubject(folders["data"]), load_talker(folders["checkpoint"])
    driving = held_out(subject)
    frames = Renderer(model, subject, torch.device("cpu"))(driving)
    behind = subject.behind(driving.torso_frame)
    assert np.array_equal(frames[:, :2], behind[:, :2])
    assert not np.array_equal(frames[:, 10:20], behind[:, 10:20])


def test_longer_features_go_on_and_frames_keep_moving(folders: dict[str, Path], tmp_path: Path) -> None:
    windows = np.random.default_rng(0).normal(size=(70, 16, 29)).astype(np.float32)
    inputs = folders | {"sound": features_file(tmp_path / "sound", windows)}
    found = render.run(TalkerRenderConfig(), inputs, context_of(tmp_path / "work"))
    assert num_frames(found.files[FILM_FILE]) == 70
    assert any("no sound" in note for note in found.notes)


def test_other_features_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    wide = features_file(tmp_path / "wide", np.zeros((10, 16, 44), np.float32))
    with pytest.raises(BadInput, match="width is 44, expected 29"):
        render.run(TalkerRenderConfig(), folders | {"sound": wide}, context_of(tmp_path / "a"))
    other = write_talking_head(tmp_path / "other", count=22, size_px=32, audio_width=32)
    with pytest.raises(BadInput, match="width is 32, expected 29"):
        render.run(TalkerRenderConfig(), folders | {"data": other}, context_of(tmp_path / "b"))
    (tmp_path / "wav").mkdir()
    write_wav(tmp_path / "wav" / "speech.wav", np.zeros(16_000))
    with pytest.raises(BadInput, match="trained on features 'random projection' of a file"):
        render.run(TalkerRenderConfig(), folders | {"sound": tmp_path / "wav"}, context_of(tmp_path / "c"))


def test_refinement_without_weights_says_so_and_goes_on(folders: dict[str, Path], tmp_path: Path) -> None:
    config = TalkerRenderConfig(refine=RefineConfig(model=str(tmp_path / "nothing")))
    found = render.run(config, folders, context_of(tmp_path / "work"))
    assert any(note.startswith("not refined: no image-to-image pipeline") for note in found.notes)
    assert set(found.files) == {FILM_FILE}


def test_refinement_repaints_and_keeps_the_film_before_it(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def darker(config: RefineConfig, device: torch.device) -> tuple[refine.Refine, str]:
        return lambda frames: frames // 2, "refined by a stand-in"

    monkeypatch.setattr(render, "load_refiner", darker)
    found = render.run(TalkerRenderConfig(), folders, context_of(tmp_path))
    assert set(found.files) == {FILM_FILE, UNREFINED_FILE}
    means = {}
    for name, path in found.files.items():
        with av.open(str(path)) as video:
            means[name] = np.mean([frame.to_ndarray(format="rgb24").mean() for frame in video.decode(video=0)])
    assert means[FILM_FILE] == pytest.approx(means[UNREFINED_FILE] / 2, rel=0.1)


def test_no_refinement_is_asked_for_by_default() -> None:
    assert load_refiner(RefineConfig(), torch.device("cpu")) == (None, "")
