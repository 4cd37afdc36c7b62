"""A random state dict in the layout of the published checkpoint, written out by hand, and the published equations.

The equations are plain float64 torch with the networks evaluated point by point on concatenated inputs, as published.
"""

import torch
from torch.nn import functional

from gaze_core.geometry.rotations import quaternion_from_matrix
from gaze_core.splat.rasterize import rasterize

FACE_POINTS, EYE_POINTS, RASTER_PX = 40, 24, 8
FACE, EYES, RENDER = "fg_CD_predictor_face", "fg_CD_predictor_eyes", "neural_render"

# (in, out) of every layer, with the input a second time in the middle one.
LAYERS = {
    "shape_color_mlp": [(272, 256), (256, 256), (528, 32)],
    "pose_color_mlp": [(182, 128), (310, 32)],
    "appea_color_mlp": [(235, 256), (256, 256), (491, 32)],
    "eye_color_mlp": [(146, 128), (274, 32)],
    "shape_attributes_mlp": [(272, 256), (256, 256), (528, 256), (256, 8)],
    "pose_attributes_mlp": [(182, 128), (128, 128), (310, 8)],
    "appea_attributes_opacity_mlp": [(235, 256), (256, 256), (491, 256), (256, 1)],
    "eye_attributes_mlp": [(146, 128), (128, 128), (274, 6)],
    "shape_deform_mlp": [(171, 256), (256, 256), (256, 256), (427, 256), (256, 256), (256, 3)],
    "pose_deform_mlp": [(81, 256), (256, 256), (337, 3)],
    "eye_deform_mlp": [(45, 128), (128, 128), (173, 4)],
}
FACE_MLPS = [name for name in LAYERS if not name.startswith("eye")]
# Parameters of the published networks: 1,335,482 of the face's, 1,423,172 of the eyes'.
NUM_PARAMETERS = {FACE: 1_335_482, EYES: 1_423_172}


def official_state(seed=0, face_points=FACE_POINTS, eye_points=EYE_POINTS, raster_px=RASTER_PX):
    """Names and shapes of the published file with few Gaussians; places as in a head, everything else random."""
    torch.manual_seed(seed)
    landmarks = head_landmarks_dm()
    state = {
        **_cloud(FACE, face_points, torch.cat([landmarks[:36], landmarks[48:]]), 3, 1.6),
        **_cloud(EYES, eye_points, landmarks[36:48], 1, 0.0),
        f"{EYES}.eye_offset": torch.zeros(3),
    }
    for part, names in ((FACE, FACE_MLPS), (EYES, list(LAYERS))):
        for name in names:
            for k, (width_in, width_out) in enumerate(LAYERS[name]):
                bound = (3 / width_in) ** 0.5
                state[f"{part}.{name}.conv{k}.weight"] = bound * (2 * torch.rand(width_out, width_in, 1) - 1)
                state[f"{part}.{name}.conv{k}.bias"] = 0.1 * torch.randn(width_out)
    return state | _renderer(raster_px)


def head_landmarks_dm():
    """424 points about where a head in decimetres has them; 36-41 at image left, 42-47 at image right."""
    points = torch.randn(424, 3) * 0.4
    ring = torch.arange(6) * torch.pi / 3
    for start, x in ((36, -0.32), (42, 0.32)):
        points[start : start + 6, 0] = x - 0.15 * ring.cos()
        points[start : start + 6, 1] = 0.3 + 0.06 * ring.sin()
        points[start : start + 6, 2] = 0.5
    return points


def _cloud(part, count, landmarks, scale_axes, spread):
    near = landmarks[torch.randint(len(landmarks), (count,))]
    return {
        f"{part}.xyz": near + (0.1 + 0.2 * spread) * torch.randn(count, 3),
        f"{part}.feature": torch.randn(count, 128),
        f"{part}.scales": -2.5 + 0.3 * torch.randn(count, scale_axes),
        f"{part}.rotation": torch.tensor([1.0, 0, 0, 0]) + 0.2 * torch.randn(count, 4),
        f"{part}.opacity": torch.randn(count, 1),
        f"{part}.landmarks_3d_neutral": landmarks.clone(),
    }


def _renderer(raster_px):
    shapes = {f"feat_2_rgb_list.{k}": (3, 32, 1, 1) for k in range(3)} | {"k_proj": (144, 32), "v_proj": (32, 32)}
    for k in range(2):
        shapes |= {
            f"feat_upsample_list.{k}.layer_1": (64, 32, 1, 1),
            f"feat_upsample_list.{k}.layer_2": (128, 64, 1, 1),
            f"feat_layers.{k}": (32, 32, 1, 1),
        }
    state = {f"{RENDER}.bg_featmap": torch.ones(1, 32, raster_px, raster_px)}
    for name, shape in shapes.items():
        state[f"{RENDER}.{name}.weight"] = torch.randn(shape) / shape[1] ** 0.5
        state[f"{RENDER}.{name}.bias"] = 0.1 * torch.randn(shape[0])
    for name in ("feat_upsample_list.0.blur_layer", "feat_upsample_list.1.blur_layer", "rgb_upsample.1"):
        state[f"{RENDER}.{name}.f"] = torch.tensor([1.0, 2.0, 1.0])
    return state


def official_file(path, state=None, frames=160, **changes):
    """The published wrapper around a state dict."""
    content = {
        "gazegaussian": official_state() if state is None else state,
        "iden_offset": torch.randn(frames, 80, requires_grad=True),
        "expr_offset": torch.randn(frames, 64),
        "delta_EulurAngles": torch.randn(frames, 3),
        "delta_Tvecs": torch.randn(frames, 3, 1),
    }
    content = {name: value for name, value in (content | changes).items() if value is not None}
    torch.save(content, path)
    return path


# ------------------------------------------------------------------------------------------------ equations


def pe(x):
    return torch.cat([x] + [f(2**k * x) for k in range(4) for f in (torch.sin, torch.cos)], dim=-1)


def mlp(state, name, points, code):
    """Every point's input and the code side by side, through 1x1 convolutions."""
    entered = torch.cat([points, code.expand(len(points), -1)], dim=-1).T[None]
    layers = LAYERS[name.partition(".")[2]]
    y = entered
    for k in range(len(layers)):
        if k == (len(layers) + 1) // 2:
            y = torch.cat([y, entered], dim=1)
        y = functional.conv1d(y, state[f"{name}.conv{k}.weight"], state[f"{name}.conv{k}.bias"])
        if k < len(layers) - 1:
            y = functional.leaky_relu(y)
    return y[0].T


def rotation(q):
    w, x, y, z = q / q.norm()
    return torch.stack(
        [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
        ]
    )


def weight(points, landmarks):
    d2 = ((points[:, None] - landmarks[None]) ** 2).sum(-1).min(dim=1).values
    return ((0.25 - d2) / (0.25 - 0.1)).clamp(0, 1)


def face(state, code, pose):
    """x_c, colours, raw changes (ds 3, dq 4, da 1)."""
    x, f = state[f"{FACE}.xyz"], torch.tanh(state[f"{FACE}.feature"])
    w = weight(x, state[f"{FACE}.landmarks_3d_neutral"])[:, None]

    def both(what, points, last=lambda y: y):
        s = last(mlp(state, f"{FACE}.shape_{what}_mlp", points, code))
        p = last(mlp(state, f"{FACE}.pose_{what}_mlp", points, pe(pose)))
        return w * s + (1 - w) * p

    return x + 0.3 * both("deform", pe(x), torch.tanh), both("color", f), both("attributes", f)


def eyes(state, code, gaze, turns=2):
    """x_c, colours, raw changes (ds 1, dq 4, da 1)."""
    x, f, g = state[f"{EYES}.xyz"], torch.tanh(state[f"{EYES}.feature"]), pe(gaze)
    offset = torch.tanh(mlp(state, f"{EYES}.shape_deform_mlp", pe(x), code))
    mask = weight(x, state[f"{EYES}.landmarks_3d_neutral"][:6]) > 0
    rotated = x.clone()
    for _ in range(turns):
        q = mlp(state, f"{EYES}.eye_deform_mlp", pe(rotated[mask].mean(0, keepdim=True)), g)[0]
        rotated[mask] = (rotation(q) @ rotated[mask].T).T
    color = mlp(state, f"{EYES}.eye_color_mlp", f, g) + mlp(state, f"{EYES}.shape_color_mlp", f, code)
    return rotated + 0.3 * offset, color, mlp(state, f"{EYES}.eye_attributes_mlp", f, g)


def activated(state, part, changes):
    """Scales (n, 3), rotation matrices (n, 3, 3), opacities (n)."""
    k = state[f"{part}.scales"].shape[1]
    s = torch.exp(state[f"{part}.scales"] + 0.2 * changes[:, :k])
    q = state[f"{part}.rotation"] + 0.2 * changes[:, k : k + 4]
    q = q / (q**2).sum(dim=0).sqrt()  # over the points
    a = 1 / (1 + torch.exp(-(state[f"{part}.opacity"][:, 0] + 0.2 * changes[:, -1])))
    return s.repeat(1, 3 // k), torch.stack([rotation(row) for row in q]), a


def so3(v):
    angle = v.norm()
    x, y, z = v / angle
    k = torch.stack([x * 0, -z, y, z, x * 0, -x, -y, x, x * 0]).reshape(3, 3)
    return torch.eye(3, dtype=v.dtype) + angle.sin() * k + (1 - angle.cos()) * k @ k


def blur(image):
    """[1 2 1] x [1 2 1] / 16, pixel by pixel; beyond the border comes the pixel before the last."""
    height, width = image.shape[-2:]
    taps = {-1: 0.25, 0: 0.5, 1: 0.25}

    def mirrored(i, size):
        return -i if i < 0 else 2 * (size - 1) - i if i >= size else i

    rows = sum(t * image[..., [mirrored(i + d, height) for i in range(height)], :] for d, t in taps.items())
    return sum(t * rows[..., [mirrored(i + d, width) for i in range(width)]] for d, t in taps.items())


def renderer(state, raster, code):
    """The renderer with the attention written out: a key of the code's width for every pixel."""

    def conv(name, x):
        return functional.conv2d(x, state[f"{RENDER}.{name}.weight"], state[f"{RENDER}.{name}.bias"])

    def enlarged(x):
        return blur(functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))

    rgb, net = enlarged(conv("feat_2_rgb_list.0", raster)), raster
    for k in range(2):
        y = functional.leaky_relu(conv(f"feat_upsample_list.{k}.layer_1", net), 0.2)
        y = functional.leaky_relu(conv(f"feat_upsample_list.{k}.layer_2", y), 0.2) + torch.cat([net] * 4, dim=1)
        net = functional.leaky_relu(conv(f"feat_layers.{k}", blur(functional.pixel_shuffle(y, 2))), 0.2)
        pixels = net.flatten(2).transpose(1, 2)
        keys = functional.linear(pixels, state[f"{RENDER}.k_proj.weight"], state[f"{RENDER}.k_proj.bias"])
        values = functional.linear(pixels, state[f"{RENDER}.v_proj.weight"], state[f"{RENDER}.v_proj.bias"])
        attention = torch.softmax(keys @ code[:, :, None] / 12, dim=1)
        net = net + (values.transpose(1, 2) @ attention)[..., None]
        rgb = rgb + conv(f"feat_2_rgb_list.{k + 1}", net)
        rgb = enlarged(rgb) if k == 0 else rgb
    return torch.sigmoid(rgb)


def image(state, code, pose, gaze, scale, world_to_camera_dm, focal_px, size_px):
    """Raster and image of one head by the published route: Gaussians and camera in the published world, decimetres.

    The camera looks through the middle of the image. `gaze` is the label, pitch growing downward.
    """
    turn, parts = so3(pose[:3]), []
    clouds = ((FACE, face(state, code, pose)), (EYES, eyes(state, code, gaze)))
    for part, (means, colors, changes) in clouds:
        scales, rotations, opacities = activated(state, part, changes)
        parts.append((scale * means @ turn.T + pose[3:], turn @ rotations, scale * scales, opacities, colors))
    means, rotations, scales, opacities, colors = (torch.cat(values)[None] for values in zip(*parts, strict=True))
    side = size_px // 4
    intrinsics = torch.diag(means.new_tensor([focal_px / 4, focal_px / 4, 1]))
    intrinsics[:2, 2] = side / 2
    raster = rasterize(
        means, quaternion_from_matrix(rotations), scales, opacities, colors, world_to_camera_dm[None],
        intrinsics[None], (side, side), means.new_ones(1, 32), near_m=0.2, backend="reference",
    )  # fmt: skip
    return raster, renderer(state, raster.features, code[None])
