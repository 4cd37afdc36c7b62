"""Coarse and fine stage on an analytic head: they learn, resume bit for bit, and read frames as they should."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.models.talker.checkpoint import load_talker, read_info
from gaze_core.models.talker.config import PRESETS
from gaze_core.models.talker.densify import TalkerDensifyConfig
from gaze_core.stages.context import StageContext
from gaze_core.stages.talker import coarse, fine
from gaze_core.stages.talker.anatomy import anatomy_of
from gaze_core.stages.talker.coarse import TalkerCoarseConfig
from gaze_core.stages.talker.fine import TalkerFineConfig
from gaze_core.stages.talker.frames import (
    FrameReader,
    held_out_rows,
    open_eyed,
    rare_rows_repeated,
    training_rows,
)
from gaze_core.stages.talker.losses import TalkerLossWeights, loss_terms, masked_psnr_db
from gaze_core.stages.talker.training import PreviewConfig, ValidationConfig
from gaze_core.talker.subject import TalkerSubject
from gaze_core.talker.subject_schema import LEFT_EYE, RIGHT_EYE
from tests.talking_head import write_talking_head

NETWORK = PRESETS["tiny"].model_copy(
    update={"min_head_points": 400, "max_head_points": 600, "mouth_points": 40, "points_per_eye": 30}
)
COARSE = TalkerCoarseConfig(
    network=NETWORK, num_steps=12, densify=TalkerDensifyConfig(from_step=4, every_steps=4, until_step=8),
    validation=ValidationConfig(every_steps=6, frames=2), previews=PreviewConfig(every_steps=6, frames=2, film_frames=2),
)  # fmt: skip
FINE = TalkerFineConfig(
    num_steps=8, validation=ValidationConfig(every_steps=4, frames=2), previews=PreviewConfig(every_steps=4, frames=2)
)


@pytest.fixture(scope="module")
def subject_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_talking_head(tmp_path_factory.mktemp("talker") / "subject", count=44, size_px=32, invalid=(5, 6))


@pytest.fixture(scope="module")
def coarse_folder(subject_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coarse")
    coarse.run(COARSE, {"data": subject_folder}, context_of(folder))
    return folder


class Killed(Exception):
    """Stands for the end of the process."""


def context_of(folder: Path, killed_at: int = 0, every: int = 3) -> StageContext:
    def progress(step: int, num_steps: int, loss: float) -> None:
        if step == killed_at:
            raise Killed

    return StageContext(
        Runtime(device="cpu", checkpoint_every_steps=every, log_every_steps=1), folder, progress=progress
    )


def weights(folder: Path) -> Mapping[str, torch.Tensor]:
    return load_talker(folder)[0].state_dict()


def require_equal(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_coarse_resumes_bit_for_bit_across_densification(
    subject_folder: Path, coarse_folder: Path, tmp_path: Path
) -> None:
    for killed_at in (5, 10):
        with pytest.raises(Killed):
            coarse.run(COARSE, {"data": subject_folder}, context_of(tmp_path, killed_at))
    found = coarse.run(COARSE, {"data": subject_folder}, context_of(tmp_path))
    assert found.metrics["resumed_from_step"] == 9
    assert found.metrics["head_points"] != NETWORK.min_head_points
    require_equal(weights(tmp_path), weights(coarse_folder))


def test_fine_resumes_bit_for_bit(subject_folder: Path, coarse_folder: Path, tmp_path: Path) -> None:
    inputs = {"data": subject_folder, "coarse": coarse_folder}
    fine.run(FINE, inputs, context_of(tmp_path / "whole"))
    with pytest.raises(Killed):
        fine.run(FINE, inputs, context_of(tmp_path / "parts", killed_at=4))
    found = fine.run(FINE, inputs, context_of(tmp_path / "parts"))
    assert found.metrics["resumed_from_step"] == 3
    require_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_checkpoint_says_what_it_is_and_has_previews(subject_folder: Path, tmp_path: Path) -> None:
    found = coarse.run(COARSE, {"data": subject_folder}, context_of(tmp_path))
    assert {"previews/coarse_000006.png", "previews/coarse_000012.mp4", "talker/talker.json"} <= set(found.files)
    assert {"head_psnr_db", "lips_psnr_db", "eyes_psnr_db", "frame_psnr_db"} <= set(found.metrics)
    assert found.subjects == {"train": ("ellipsoid",)}
    info = read_info(tmp_path)
    assert (info.stage, info.audio.width, info.size_px) == ("coarse", 29, (32, 32))


def test_the_head_gets_better(subject_folder: Path, tmp_path: Path) -> None:
    config = COARSE.model_copy(update={"num_steps": 60, "validation": ValidationConfig(every_steps=20, frames=4)})
    context = context_of(tmp_path, every=100)
    rows: list[float] = []

    class Sink:
        def log(self, step: int, values: Mapping[str, float]) -> None:
            rows.extend(value for name, value in values.items() if name == "validation/head_psnr_db")

    coarse.run(config, {"data": subject_folder}, StageContext(context.runtime, tmp_path, log=Sink()))
    assert rows[-1] > rows[0] + 1


def test_fine_goes_on_from_an_earlier_fine_head_on_a_longer_recording(
    subject_folder: Path, coarse_folder: Path, tmp_path: Path
) -> None:
    fine.run(FINE, {"data": subject_folder, "coarse": coarse_folder}, context_of(tmp_path / "first"))
    longer = write_talking_head(tmp_path / "longer", count=66, size_px=32)
    found = fine.run(FINE, {"data": longer, "coarse": tmp_path / "first"}, context_of(tmp_path / "second"))
    assert found.notes == ("goes on from a head trained on 38 frames, now with 60",)
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    change = (after["head.means_m"] - before["head.means_m"]).abs().max()
    assert 0 < change < 2e-3  # it did not start again


def test_fine_without_a_checkpoint_or_with_other_features_is_refused(
    subject_folder: Path, coarse_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="needs a coarse checkpoint"):
        fine.run(FINE, {"data": subject_folder}, context_of(tmp_path))
    other = write_talking_head(tmp_path / "wide", count=22, size_px=32, audio_width=44)
    with pytest.raises(BadInput, match="width is 44, expected 29"):
        fine.run(FINE, {"data": other, "coarse": coarse_folder}, context_of(tmp_path / "work"))


def test_frames_without_a_face_are_skipped_and_rare_ones_repeated(subject_folder: Path) -> None:
    subject = TalkerSubject(subject_folder)
    rows = training_rows(subject)
    assert not {5, 6} & set(rows.tolist())
    assert rows.max() < 40 <= held_out_rows(subject, 3).min()
    assert subject.blink[open_eyed(subject, rows)].max() < 0.5
    seen = rare_rows_repeated(subject, rows)
    counts = np.bincount(seen, minlength=44)
    widest, closed = rows[subject.mouth_open[rows].argmax()], rows[subject.blink[rows, 0].argmax()]
    assert counts[rows].min() == 1
    assert min(counts[widest], counts[closed]) >= 2
    short = np.zeros_like(subject.valid)
    subject.valid = short
    with pytest.raises(BadInput, match="0 training frames"):
        training_rows(subject)


def test_batch_is_recorded_in_the_head_and_background_outside(subject_folder: Path) -> None:
    subject = TalkerSubject(subject_folder)
    rows = np.array([0, 11, 43])
    batch = FrameReader(subject).read(rows)
    outside = (batch.head == 0).expand_as(batch.image)
    assert torch.equal(batch.image[outside], batch.behind[outside])
    torch.testing.assert_close(
        batch.image[~outside].double(), torch.from_numpy(subject.images(rows) / 255).permute(0, 3, 1, 2)[~outside]
    )  # noqa: E501
    eyes = np.isin(subject.labels[rows], (LEFT_EYE, RIGHT_EYE))
    assert batch.eyes[:, 0].bool().numpy()[eyes].all()
    assert batch.eyes[1].any()  # closed eyes have a region, too
    assert not eyes[1].any()
    assert not batch.condition.audio[0, :4].any()  # before the first frame there is silence
    torch.testing.assert_close(batch.condition.audio[1, 4], torch.from_numpy(subject.audio[11]))


def test_mouth_is_found_behind_the_lips(subject_folder: Path) -> None:
    subject = TalkerSubject(subject_folder)
    found = anatomy_of(subject, training_rows(subject))
    assert abs(float(found.mouth_m[0])) < 0.006
    assert abs(float(found.mouth_m[1]) - 0.062) < 0.006
    assert 0.014 < found.mouth_half_width_m < 0.026
    assert found.mouth_rgb[0] > found.mouth_rgb[1]
    assert len(found.points_m) < len(subject.points_m)  # none lie over the eyes


def test_terms_of_the_loss(subject_folder: Path, coarse_folder: Path) -> None:
    batch = FrameReader(TalkerSubject(subject_folder)).read(np.array([0, 1]))
    model, _ = load_talker(coarse_folder)
    terms, made = loss_terms(model, batch, TalkerLossWeights(teeth=0))
    assert "teeth_l1" not in terms
    own = TalkerLossWeights()
    picture = made.image + (1 - made.alpha) * batch.behind
    assert float(terms["l1"].value.detach()) == pytest.approx(
        float((picture - batch.image).abs().mean().detach()), rel=1e-5
    )
    assert (terms["lips_l1"].weight, terms["silhouette"].weight) == (own.lips, own.silhouette)
    error = 0.1 * torch.ones_like(batch.image)
    assert masked_psnr_db(batch.image + error, batch.image, batch.lips).tolist() == pytest.approx([20, 20], abs=1e-3)
