"""The published model against its equations, which `official_state` writes out by themselves, and against ours."""

import dataclasses

import pytest
import torch

from gaze_core.data.batch import HeadParameters, PublishedFit, concatenate
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.cameras import Camera, rigid_transform, transform_points
from gaze_core.geometry.rotations import matrix_from_axis_angle, matrix_from_quaternion
from gaze_core.models.conditioning import proximity
from gaze_core.models.official.clouds import Codes, nearness
from gaze_core.models.official.frames import OfficialConfig, codes_of, placement, poses
from gaze_core.models.official.gaze_gaussian import OfficialGazeGaussian
from gaze_core.models.official.layout import OFFICIAL_NAMES, translate
from gaze_core.models.official.networks import UpsamplingBlock
from gaze_core.models.redirection.renderers import PixelShuffleRenderer, RendererConfig
from gaze_core.stages.redirection.import_gazegaussian import model_of
from tests.gaze_core.models.official import official_state as published

CONFIG = OfficialConfig(image_px=4 * published.RASTER_PX, raster_px=published.RASTER_PX)
SCALE = 1.2
HALF_TURN = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


@pytest.fixture(scope="module")
def state():
    return {name: tensor.double() for name, tensor in published.official_state().items()}


@pytest.fixture(scope="module")
def model(state):
    return model_of(state, CONFIG, "test").double()


@pytest.fixture(scope="module")
def inputs():
    torch.manual_seed(5)
    draw = {"code": torch.randn(144), "pose": torch.randn(6) * 0.3, "gaze": torch.randn(2) * 0.3}
    return {name: value.double() for name, value in draw.items()}


@pytest.fixture(scope="module")
def codes(inputs):
    return Codes(inputs["code"], published.pe(inputs["pose"]), published.pe(inputs["gaze"]))


def same(found, expected, tolerance=1e-6):
    # Weights pass through float32; the equations are evaluated in float64 on both sides.
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def head_of(inputs, model):
    """Our head parameters of the published pose, scale and gaze; world and camera as in the published files.

    The subject's eyes lie 0.12 dm from the model's, and its label was made with a head pose 6 and 3 degrees from the fit.
    """
    turn, shift_dm = published.so3(inputs["pose"][:3]), inputs["pose"][3:]
    origin_m = model.origin_m + torch.tensor([0.004, -0.011, 0.003]).double()
    to_world = rigid_transform(turn @ HALF_TURN, 0.1 * shift_dm + turn @ HALF_TURN @ origin_m)
    pitch_down, yaw = inputs["gaze"]
    to_label = published.so3(torch.deg2rad(torch.tensor([6.0, 3.0, 0.0]).double()))
    gaze = pitchyaw_from_vector(to_label.T @ vector_from_pitchyaw(torch.stack([-pitch_down, yaw])))
    apart = torch.tensor([[0.02, -0.05], [-0.02, 0.05]]).double()  # the eyes differ; the model uses the mean
    fit = PublishedFit(to_label[None], torch.tensor([SCALE]).double(), origin_m[None], torch.tensor([True]))
    codes = inputs["code"][None]
    return HeadParameters(to_world[None], (gaze + apart)[None], codes[:, 64:], codes[:, :64], published=fit)


def camera(size_px=4 * published.RASTER_PX):
    """The published camera, half a pixel off the middle, as converted files have it."""
    focal_px, middle_px = 1039.36 * size_px / 512, size_px / 2 + 0.5
    intrinsics = torch.tensor([[focal_px, 0, middle_px], [0, focal_px, middle_px], [0, 0, 1]]).double()
    to_camera = rigid_transform(HALF_TURN, torch.tensor([0.0, 0.0, 0.62]).double())
    return Camera(intrinsics[None], to_camera[None], (size_px, size_px))


def test_the_table_has_every_published_tensor_and_every_parameter():
    state = published.official_state()
    assert set(state) == set(OFFICIAL_NAMES)
    for part, count in published.NUM_PARAMETERS.items():
        assert sum(t.numel() for name, t in state.items() if f"{part}." in name and ".conv" in name) == count
    read = [n for n in state if n.startswith("neural_render.") and n.endswith((".weight", ".bias"))]
    assert sum(state[name].numel() for name in read) == 29_081


def test_face_is_a_blend_of_both_branches(model, state, inputs, codes):
    means, colors, changes = published.face(state, inputs["code"], inputs["pose"])
    weights = published.weight(state[f"{published.FACE}.xyz"], state[f"{published.FACE}.landmarks_3d_neutral"])
    for count in ((weights == 1).sum(), (weights == 0).sum(), ((weights > 0) & (weights < 1)).sum()):
        assert count > 2  # the scene has points in each branch, and between
    found = model.face(codes)
    same(found.means_dm, means)
    same(found.features, colors, 1e-5)
    compare_activated(found, state, published.FACE, changes)


def compare_activated(found, state, part, changes):
    scales, rotations, opacities = published.activated(state, part, changes)
    same(found.scales_dm, scales)
    same(matrix_from_quaternion(found.quats_wxyz), rotations, 1e-5)
    same(found.opacities, opacities)


def test_eyes_rotate_twice_by_one_eyes_landmarks(model, state, inputs, codes):
    means, colors, changes = published.eyes(state, inputs["code"], inputs["gaze"])
    found = model.eyes(codes)
    same(found.means_dm, means)
    same(found.features, colors, 1e-5)
    compare_activated(found, state, published.EYES, changes)
    once, _, _ = published.eyes(state, inputs["code"], inputs["gaze"], turns=1)
    never, _, _ = published.eyes(state, inputs["code"], inputs["gaze"], turns=0)
    assert (means - once).norm(dim=1).max() > 0.05
    # The eye at image right (the subject's left) has points that do not move with gaze.
    still = (means - never).norm(dim=1) < 1e-12
    x_dm = state[f"{published.EYES}.xyz"][:, 0]
    assert still.any()
    assert (x_dm[still] > 0).all()
    assert not still[x_dm < 0].any()


def test_no_point_near_the_eye_is_no_error(state, codes):
    far = state | {f"{published.EYES}.landmarks_3d_neutral": torch.full((12, 3), 9.0).double()}
    model = model_of(far, CONFIG, "test").double()
    same(model.eyes.rotated(codes.gaze), far[f"{published.EYES}.xyz"])


def test_gaussians_lie_in_the_world_where_the_published_pose_puts_them(model, state, inputs):
    head = head_of(inputs, model)
    same(poses(camera(), head, CONFIG, placement(head, CONFIG, model.origin_m).origin_m)[0], inputs["pose"])
    turn, shift_dm = published.so3(inputs["pose"][:3]), inputs["pose"][3:]
    clouds = model.clouds(camera(), head)
    parts = (
        (published.FACE, published.face(state, inputs["code"], inputs["pose"])),
        (published.EYES, published.eyes(state, inputs["code"], inputs["gaze"])),
    )
    for ours, (part, (means, colors, changes)) in zip(clouds, parts, strict=True):
        scales, rotations, opacities = published.activated(state, part, changes)
        in_world_m = transform_points(head.head_to_world, ours.means)[0]
        same(in_world_m, 0.1 * (SCALE * means @ turn.T + shift_dm))
        same(head.head_to_world[0, :3, :3] @ matrix_from_quaternion(ours.quats_wxyz[0]), turn @ rotations, 1e-5)
        same(ours.scales[0], 0.1 * SCALE * scales)
        same(ours.opacities[0], opacities)
        same(ours.features[0], colors, 1e-5)


def test_renderer_with_folded_attention_equals_the_attention_written_out(model, state):
    torch.manual_seed(2)
    raster, code = torch.randn(2, 32, 8, 8).double(), 3 * torch.randn(2, 144).double()
    expected = published.renderer(state, raster, code)
    same(model.renderer(raster, code), expected)
    assert (published.renderer(state, raster, code.flip(0)) - expected).abs().max() > 1e-3  # the code has an effect


def test_image_is_the_published_one(model, state, inputs):
    view = camera()
    view_dm = view.world_to_camera[0].clone()
    view_dm[:3, 3] *= 10
    focal_px = float(view.intrinsics_px[0, 0, 0])
    drawn = published.image(state, *inputs.values(), SCALE, view_dm, focal_px, 4 * published.RASTER_PX)
    raster, expected = drawn
    assert raster.alpha.max() > 0.3
    output = model(view, head_of(inputs, model))
    same(output.head.features, raster.features, 1e-4)
    same(output.rgb, expected, 1e-4)


def test_a_redirected_head_keeps_the_frame_of_its_label(model, inputs):
    head = head_of(inputs, model)
    target = torch.tensor([[0.1, -0.3]]).double()
    rotated = head.with_gaze(target).with_pose(head.head_to_world @ head.head_to_world)
    expected = head.published.gaze_rotation[0] @ vector_from_pitchyaw(target[0])
    origin_m = placement(head, CONFIG, model.origin_m).origin_m
    for requested in (head.with_gaze(target), rotated):
        (code,) = codes_of(camera(), requested, CONFIG, origin_m)
        same(code.gaze[:2], pitchyaw_from_vector(expected) * torch.tensor([-1.0, 1.0]))


def test_a_head_of_another_file_is_refused(model, inputs):
    head = head_of(inputs, model)
    unknown = dataclasses.replace(head.published, known=torch.tensor([False]))
    for fit in (None, unknown):
        with pytest.raises(BadInput, match="expects a converted GazeGaussian file .* --recordings any"):
            model(camera(), dataclasses.replace(head, published=fit))


def test_image_has_the_cameras_size_and_each_sample_is_its_own(model, inputs):
    head = head_of(inputs, model)
    other = dataclasses.replace(head, gaze_head_eyes=head.gaze_head_eyes + 0.4)
    both = concatenate([head, other])
    wide = Camera(camera(20).intrinsics_px.repeat(2, 1, 1), camera().world_to_camera.repeat(2, 1, 1), (20, 12))
    with torch.no_grad():
        images = model(wide, both).rgb
        alone = model(Camera(wide.intrinsics_px[1:], wide.world_to_camera[1:], (20, 12)), other).rgb
    assert images.shape == (2, 3, 12, 20)
    same(images[1:], alone)
    assert (images[0] - images[1]).abs().max() > 1e-4


def test_the_face_is_computed_once_while_only_the_gaze_changes(state, inputs):
    model = model_of(state, CONFIG, "test").double()
    head = head_of(inputs, model)
    counted = []
    model.face.register_forward_hook(lambda *_: counted.append(1))
    looking = dataclasses.replace(head, gaze_head_eyes=head.gaze_head_eyes + 0.2)
    smiling = dataclasses.replace(looking, expression_code=head.expression_code + 0.2)
    rotated = dataclasses.replace(looking, head_to_world=head.head_to_world @ head.head_to_world)
    with torch.no_grad():
        for requested, times in ((head, 1), (looking, 1), (smiling, 2), (rotated, 3), (head, 4)):
            image = model(camera(), requested).rgb
            assert len(counted) == times
            torch.testing.assert_close(image, model_of(state, CONFIG, "test").double()(camera(), requested).rgb)
    model.float().double()(camera(), head)  # on another device or dtype the face is computed again
    assert len(counted) == 5


def test_other_recordings_get_neutral_codes_and_the_published_camera(state, inputs):
    config = CONFIG.model_copy(update={"recordings": "any"})
    model = model_of(state, config, "test").double()
    # A head that faces the camera in our own world: the camera's axes, 62 cm before it.
    to_world = rigid_transform(torch.eye(3).double(), torch.tensor([0.0, 0.0, 0.62]).double())
    view = Camera(camera().intrinsics_px, torch.eye(4).double()[None], camera().size_px)
    head = dataclasses.replace(head_of(inputs, model), head_to_world=to_world[None])
    origin_m = torch.zeros(1, 3).double()
    pose = poses(view, head, config, origin_m)[0]
    assert pose[:3].norm() < 0.1  # rad: published heads that face the camera have no rotation
    assert pose[3:].norm() < 0.3  # dm: and lie about the world's origin
    blank = dataclasses.replace(head, identity_code=head.identity_code * 0, expression_code=head.expression_code * 0)
    same(model(view, head).rgb, model(view, blank).rgb)
    assert (poses(view, head, CONFIG, origin_m)[0, :3].norm() - torch.pi).abs() < 1e-6


# ------------------------------------------------------------------------------ where official and ours differ


def test_distances_are_squared_there_and_linear_here():
    points = torch.tensor([[0.4, 0.0, 0.0]])
    landmark = torch.zeros(1, 3)
    assert float(nearness(points, landmark)) == pytest.approx((0.25 - 0.16) / 0.15)
    assert float(proximity(points / 10, landmark, 0.1**0.5 / 10, 0.05)) == pytest.approx((0.05 - 0.04) / 0.01838, 1e-3)


def test_quaternions_are_divided_over_the_points(model, state):
    changes = torch.zeros(published.FACE_POINTS, 8).double()
    found = matrix_from_quaternion(model.face.activate(model.face.means_dm, changes, changes).quats_wxyz)
    each_by_itself = matrix_from_quaternion(state[f"{published.FACE}.rotation"])
    assert (found - each_by_itself).abs().max() > 0.3


def test_the_published_shuffle_mixes_channels_and_ours_does_not():
    block, ours = UpsamplingBlock(4), PixelShuffleRenderer(RendererConfig(channels=4), 4, 8, 2).blocks[0]
    x = torch.zeros(1, 4, 6, 6)
    x[:, 1] = 1
    for module in (block, ours):
        for parameter in module.parameters():
            torch.nn.init.zeros_(parameter)
    mixed = {"mix.weight": torch.eye(4)[..., None, None], "mix.bias": torch.zeros(4)}
    block.load_state_dict(mixed, strict=False)
    ours.load_state_dict({f"mix.0.{name[4:]}": value for name, value in mixed.items()}, strict=False)
    assert block(x).mean(dim=(0, 2, 3)).tolist() == [0.25] * 4
    assert ours(x, torch.zeros(1, 8)).mean(dim=(0, 2, 3)).tolist() == [0, 1, 0, 0]


# --------------------------------------------------------------------------------------------------- the table


def test_all_differences_are_named_at_once(state):
    spoilt = dict(state)
    del spoilt[f"{published.FACE}.xyz"], spoilt["neural_render.k_proj.weight"]
    spoilt["optimizer"] = torch.zeros(2)
    spoilt[f"{published.EYES}.eye_deform_mlp.conv2.weight"] = torch.zeros(3, 173, 1)  # the variant that shifts
    spoilt[f"{published.FACE}.scales"] = torch.zeros(published.FACE_POINTS + 1, 3)
    spoilt[f"{published.FACE}.opacity"] = torch.full((published.FACE_POINTS, 1), torch.nan)
    spoilt["neural_render.v_proj.bias"] = torch.zeros(32, dtype=torch.int64)
    spoilt["neural_render.bg_featmap"] = torch.zeros(1, 32, 64, 64)
    spoilt["neural_render.rgb_upsample.1.f"] = torch.tensor([1.0, 3.0, 1.0])
    with pytest.raises(BadInput) as caught:
        translate(spoilt, "x.pth", published.RASTER_PX)
    text = str(caught.value)
    for expected in (
        "x.pth: not the published GazeGaussian; 9 differences",
        "missing fg_CD_predictor_face.xyz (n, 3)",
        "missing neural_render.k_proj.weight (144, 32)",
        "unexpected optimizer",
        "fg_CD_predictor_eyes.eye_deform_mlp.conv2.weight has shape (3, 173, 1), expected (4, 173, 1)",
        "fg_CD_predictor_face.scales has shape (41, 3), expected (40, 3)",
        "fg_CD_predictor_face.opacity has 40 values that are not finite",
        "neural_render.v_proj.bias is torch.int64, expected a tensor of floating-point",
        "neural_render.bg_featmap has shape (1, 32, 64, 64), expected (1, 32, 8, 8)",
        "neural_render.rgb_upsample.1.f is [1.0, 3.0, 1.0], expected the blur",
    ):
        assert expected in text


def test_no_gaussians_and_names_that_are_none_are_differences_too(state):
    empty = state | {f"{published.EYES}.xyz": torch.zeros(0, 3), 7: torch.zeros(1)}
    with pytest.raises(
        BadInput, match=r"2 differences.*unexpected 7; .*eyes.xyz has shape \(0, 3\), expected \(m, 3\)"
    ):
        translate(empty, "x", published.RASTER_PX)


@pytest.mark.parametrize(("prefix", "replaced"), [("module.", ""), ("neural_renderer.", "neural_render.")])
def test_documented_spellings_are_the_same(state, prefix, replaced):
    renamed = {
        prefix + name.removeprefix(replaced) if name.startswith(replaced) else name: t for name, t in state.items()
    }
    assert renamed.keys() != state.keys()
    ours, expected = (translate(s, "x", published.RASTER_PX) for s in (renamed, state))
    assert all(torch.equal(ours[name], tensor) for name, tensor in expected.items())
    assert ours.keys() == expected.keys()


def test_unused_tensors_may_be_absent(state):
    idle = ("appea_", "eye_offset", "bg_featmap", ".f")
    kept = {n: t for n, t in state.items() if not any(part in n for part in idle[:3]) and not n.endswith(idle[3])}
    kept = {n: t for n, t in kept.items() if not n.startswith(f"{published.EYES}.pose_")}
    assert len(kept) < len(state)
    assert translate(kept, "x", published.RASTER_PX).keys() == translate(state, "x", published.RASTER_PX).keys()


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="image_px 512 must be 4 times raster_px 64"):
        OfficialGazeGaussian(OfficialConfig(raster_px=64), 1, 1)


def test_axis_angle_of_the_test_is_that_of_the_product(inputs):
    same(published.so3(inputs["pose"][:3]), matrix_from_axis_angle(inputs["pose"][:3]))
