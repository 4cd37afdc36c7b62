"""The network of the talking head: sizes as published, what moves what, and how it is stored."""

import json
from pathlib import Path

import pytest
import torch

from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.geometry.rotations import eye_rotation
from gaze_core.models.talker.checkpoint import (
    INFO_FILE,
    AudioFormat,
    TalkerInfo,
    load_talker,
    parameters_by_part,
    save_talker,
)
from gaze_core.models.talker.clouds import rgb_from_harmonics
from gaze_core.models.talker.config import ALL_ATTRIBUTES, PRESETS, TalkerConfig, published
from gaze_core.models.talker.initialisation import Anatomy, initial_talker, resampled
from gaze_core.models.talker.network import TalkerCondition, TalkerModel

SMALL = PRESETS["tiny"].model_copy(
    update={"min_head_points": 100, "mouth_points": 20, "points_per_eye": 10, "plane_resolutions": (8, 16)}
)
INTRINSICS = torch.tensor([[64.0, 0, 16], [0, 64, 16], [0, 0, 1]])


def anatomy(num_points: int = 60) -> Anatomy:
    generator = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(num_points, 3, generator=generator), dim=1) * 0.08
    eyes = torch.tensor([[0.03, 0, -0.07], [-0.03, 0, -0.07]])
    rgb = torch.rand(num_points, 3, generator=generator)
    return Anatomy(points, rgb, eyes, 0.012, torch.tensor([0, 0.05, -0.06]), 0.02, torch.tensor([0.3, 0.1, 0.1]))


def model_of(config: TalkerConfig = SMALL, audio_width: int = 29, *, fine: bool = True) -> TalkerModel:
    torch.manual_seed(0)
    model = initial_talker(config, anatomy(), audio_width, seed=0)
    if fine:
        model.bake()
    return model


def condition_of(batch: int = 2, audio_width: int = 29, window: int = 16, **values: torch.Tensor) -> TalkerCondition:
    random = torch.Generator().manual_seed(1)
    given = {
        "audio": torch.randn(batch, 8, window, audio_width, generator=random),
        "eye": torch.rand(batch, 2, generator=random),
        "brows": torch.rand(batch, 3, generator=random),
        "gaze_rad": 0.2 * torch.randn(batch, 2, generator=random),
    }
    return TalkerCondition(**(given | values))


def views(batch: int = 2) -> torch.Tensor:
    view = torch.eye(4).repeat(batch, 1, 1)
    view[:, 2, 3] = 0.5
    return view


def test_published_network_has_the_published_number_of_parameters() -> None:
    every = published().model_copy(update={"decoded": ("opacity", "color", "scale", "rotation")})
    found = parameters_by_part(TalkerModel(every, audio_width=29, num_head_points=10))
    assert found == {
        "planes": 1_966_080, "appearance": 98_104, "audio": 32_869, "conditions": 17_216, "attention": 33_472,
        "offsets": 49_211,
    }  # fmt: skip
    two = published("64_dim_2_transformer")
    assert parameters_by_part(TalkerModel(two, 29, 10))["attention"] == 2 * 33_472
    assert (two.tokens, two.deformed) == (("audio", "eye", "camera", "null"), ALL_ATTRIBUTES)


def test_published_network_renders_without_mouth_and_eyes() -> None:
    config = published().model_copy(update={"plane_resolutions": (8, 8), "min_head_points": 60})
    model = model_of(config).eval()
    assert list(model.sets) == ["head"]
    assert model(condition_of(), views(), INTRINSICS, (32, 32)).image.shape == (2, 3, 32, 32)


def test_compat_published_refuses_fewer_attributes() -> None:
    with pytest.raises(ValueError, match="deforms all five"):
        TalkerConfig(compat="published")


@pytest.mark.parametrize(("width", "window"), [(29, 16), (32, 16), (44, 16), (384, 8), (512, 1), (1024, 2)])
def test_audio_of_any_width_and_window(width: int, window: int) -> None:
    model = model_of(audio_width=width)
    means = model.cloud(condition_of(audio_width=width, window=window), views()).means
    other = model.cloud(condition_of(audio_width=width, window=window, audio=torch.ones(2, 8, window, width)), views())
    assert not torch.equal(means, other.means)


def test_eyeballs_turn_rigidly_about_their_centres() -> None:
    model = model_of().eval()
    still, turned = torch.zeros(1, 2), torch.tensor([[0.2, -0.3]])
    count = model.eyes.num_points
    first, second = (
        model.cloud(condition_of(1, gaze_rad=gaze), views(1)).means[0, -count:] for gaze in (still, turned)
    )
    centres = model.eye_centres_m.repeat_interleave(count // 2, dim=0)
    expected = centres + (first - centres) @ eye_rotation(turned)[0].T
    torch.testing.assert_close(second, expected)
    assert (second - first).norm(dim=1).max() > 1e-3


def test_gaze_does_not_move_the_mouth_and_sound_not_the_eyeballs() -> None:
    model = model_of().eval()
    eyes, mouth = model.eyes.num_points, model.mouth.num_points
    base = model.cloud(condition_of(), views()).means
    gaze = model.cloud(condition_of(gaze_rad=torch.full((2, 2), 0.3)), views()).means
    sound = model.cloud(condition_of(audio=torch.full((2, 8, 16, 29), 2.0)), views()).means
    inside = slice(-eyes - mouth, -eyes)
    assert torch.equal(gaze[:, inside], base[:, inside])
    assert not torch.equal(sound[:, inside], base[:, inside])
    assert torch.equal(sound[:, -eyes:], base[:, -eyes:])


def test_token_eyes_see_all_tokens() -> None:
    model = model_of(SMALL.model_copy(update={"eyes": "token"}))
    seen = model.seen_tokens()
    assert seen[-1].all()
    assert not model_of().seen_tokens()[-1].all()


def test_baking_keeps_the_rendering_of_the_coarse_stage() -> None:
    model = model_of(fine=False).eval()
    for head in model.deformation.heads.values():
        torch.nn.init.zeros_(head[-1].weight)
    before = model(condition_of(), views(), INTRINSICS, (32, 32))
    model.bake()
    after = model(condition_of(), views(), INTRINSICS, (32, 32))
    torch.testing.assert_close(after.image, before.image, atol=1e-5, rtol=1e-4)
    assert before.alpha.max() > 0.5


def test_harmonics_of_degree_one_by_hand() -> None:
    colors = torch.zeros(1, 1, 12)
    colors[0, 0, 3 * 2] = 1.0  # red of the harmonic along z
    ahead = rgb_from_harmonics(colors, torch.tensor([[[0.0, 0, 1]]]))
    torch.testing.assert_close(ahead[0, 0], torch.tensor([0.5 + 0.4886025, 0.5, 0.5]))


def test_initial_points_are_filled_up_or_thinned_out() -> None:
    few, _ = resampled(anatomy(), SMALL, seed=0)
    assert len(few) == 100
    assert torch.equal(few[:60], anatomy().points_m)
    many, rgb = resampled(anatomy(60), SMALL.model_copy(update={"max_head_points": 20}), seed=0)
    assert (len(many), len(rgb)) == (20, 20)
    with pytest.raises(BadInput, match="5 initial points"):
        initial_talker(SMALL, anatomy(5), 29, 0)


def info_of(model: TalkerModel) -> TalkerInfo:
    return TalkerInfo(
        stage=model.stage, config=model.config, audio=AudioFormat(extractor="log_mel", rate_hz=50, window=16, width=29),
        intrinsics_px=((64, 0, 16), (0, 64, 16), (0, 0, 1)), size_px=(32, 32), eye_centres_m=((0.03, 0, 0), (-0.03, 0, 0)),
        num_head_points=model.head.num_points,
    )  # fmt: skip


def test_stored_head_renders_the_same(tmp_path: Path) -> None:
    model = model_of().eval()
    files = save_talker(tmp_path, model, info_of(model))
    assert sorted(files) == ["talker/model.safetensors", "talker/talker.json"]
    loaded, info = load_talker(tmp_path)
    assert (info, loaded.stage) == (info_of(model), "fine")
    expected = model(condition_of(), views(), INTRINSICS, (32, 32)).image
    assert torch.equal(loaded(condition_of(), views(), INTRINSICS, (32, 32)).image, expected)


def test_what_is_no_talking_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match="gazeworks talker train"):
        load_talker(tmp_path)
    model = model_of()
    save_talker(tmp_path, model, info_of(model))
    path = tmp_path / "talker" / INFO_FILE
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"num_head_points": 7}))
    with pytest.raises(ContractViolation, match="do not fit"):
        load_talker(tmp_path)


def test_other_audio_features_are_refused() -> None:
    info = info_of(model_of())
    info.require_format(info.audio, "here")
    with pytest.raises(BadInput, match="extractor is 'hubert', expected 'log_mel'.*width is 1024, expected 29"):
        info.require_format(AudioFormat(extractor="hubert", rate_hz=50, window=16, width=1024), "here")
