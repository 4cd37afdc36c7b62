import h5py
import pytest

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.models.redirection.corrections import CorrectionsConfig
from gaze_core.plans.redirection import PRESETS, redirection_plan
from tests.tiny_subject import write_tiny_subject


@pytest.mark.parametrize("preset", PRESETS)
def test_the_baseline_differs_in_the_renderer_alone(preset):
    plan = redirection_plan(preset)
    restored = plan.baseline.model.model_copy(update={"renderer": plan.gaze_gaussian.model.renderer})
    assert plan.baseline.model.renderer.kind == "pixel_shuffle"
    assert plan.gaze_gaussian.model.renderer.kind == "dit"
    assert plan.baseline.model_copy(update={"model": restored}) == plan.gaze_gaussian


def test_recordings_of_128_px_start_from_the_known_head_and_rendered_subjects_from_scratch():
    starts = {
        (preset, source): redirection_plan(preset, source).adapt is not None
        for preset in PRESETS
        for source in ("synthetic", "video")
    }
    assert {key for key, known in starts.items() if known} == {("tiny", "video"), ("small", "video")}
    assert redirection_plan("tiny", "video", start="scratch").adapt is None
    assert redirection_plan("tiny", "synthetic", start="known").adapt is not None
    with pytest.raises(
        BadInput, match="the known head renders 128 px, preset paper trains for 512 px; choose preset tiny"
    ):
        redirection_plan("paper", "video", start="known")


def test_overrides_change_one_key_and_the_digest():
    plain, changed = (redirection_plan("tiny", overrides=keys) for keys in ([], ["gaze_gaussian.fit.num_steps=7"]))
    assert changed.gaze_gaussian.fit.num_steps == 7
    assert plain.mesh_head.digest() == changed.mesh_head.digest()
    assert plain.gaze_gaussian.digest() != changed.gaze_gaussian.digest()


def test_text_and_nested_values_can_be_set():
    plan = redirection_plan("tiny", overrides=["evaluate.judge=iris", "evaluate.shown_poses_deg=[[0, 5]]"])
    assert plan.evaluate.judge == "iris"
    assert plan.evaluate.shown_poses_deg == ((0, 5),)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mesh_head.fitt.num_steps=1", "unknown key 'fitt'; known here: model, loss_weights, fit"),
        ("mesh_head.fit.num_steps.x=1", "unknown key 'x'; known here: nothing below a value"),
        ("evaluate.judge=mine", "unknown evaluate.judge 'mine'; expected one of: cnn, landmarks, iris"),
        ("novalue", "expected KEY=VALUE"),
    ],
)
def test_invalid_overrides_list_the_known_keys(override, message):
    with pytest.raises(BadInput, match=message):
        redirection_plan("tiny", overrides=[override])


def test_paper_is_as_published():
    plan = redirection_plan("paper")
    renderer, weights = plan.gaze_gaussian.model.renderer, plan.gaze_gaussian.loss_weights
    assert (renderer.depth, renderer.num_heads, renderer.patch_px) == (6, 8, 8)
    assert renderer.autoencoder is not None
    assert (plan.mesh_head.fit.num_epochs, plan.gaze_gaussian.fit.num_epochs) == (10, 30)
    assert plan.mesh_head.fit.keep_every_epochs == plan.gaze_gaussian.fit.keep_every_epochs == 10
    assert (plan.gaze_gaussian.model.image_px, plan.gaze_gaussian.model.raster_px) == (512, 128)
    assert min(weights.perceptual, weights.gaze_deg, weights.synthetic_gaze_deg, weights.orthogonality) > 0
    assert redirection_plan("paper", "video").preprocess.video.size_px == 512


def test_a_critic_can_be_given_from_the_command_line():
    given = 'gaze_gaussian.critic={"path": "critic.safetensors", "sha256": "' + "0" * 64 + '"}'
    assert str(redirection_plan("paper", overrides=[given]).gaze_gaussian.critic.path) == "critic.safetensors"


def test_the_label_source_decides_on_corrections(tmp_path):
    """The digests of runs on exact labels and on videos are those of the releases before this was decided by the file."""
    plan = redirection_plan("tiny")
    write_tiny_subject(tmp_path / "a.h5", num_images=2)
    exact = plan.for_recording(tmp_path / "a.h5").gaze_gaussian
    assert exact.corrections is None
    assert exact.digest() == "2f7546eb6c39"
    assert redirection_plan("tiny", "video").gaze_gaussian.digest() == "ab7870e21368"
    write_tiny_subject(tmp_path / "b.h5", num_images=2, subject="b")
    with h5py.File(tmp_path / "b.h5", "a") as file:
        file.attrs["label_source"] = "target"
    for recording in (tmp_path / "b.h5", tmp_path):  # a file of estimates alone, and among others
        decided = plan.for_recording(recording)
        assert decided.gaze_gaussian.corrections == decided.baseline.corrections == CorrectionsConfig()
    off = redirection_plan("tiny", overrides=["gaze_gaussian.corrections=null"])
    assert off.for_recording(tmp_path).gaze_gaussian.corrections is None


def test_runs_with_critics_have_their_own_digests():
    """Earlier releases selected other weights in such runs."""
    config = redirection_plan("tiny", overrides=["gaze_gaussian.loss_weights.gaze_deg=0.1"]).gaze_gaussian
    assert config.digest() != Config.digest(config)
    plain = redirection_plan("tiny").gaze_gaussian
    assert plain.digest() == Config.digest(plain)
