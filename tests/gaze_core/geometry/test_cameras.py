import torch

from gaze_core.geometry.cameras import Camera, rigid_transform, transform_points
from gaze_core.geometry.rotations import matrix_from_axis_angle


def camera(size_px=(100, 80)):
    intrinsics = torch.tensor([[[200.0, 0, 50], [0, 200, 40], [0, 0, 1]]])
    return Camera(intrinsics, torch.eye(4)[None], size_px)


def test_projection_by_hand():
    # 10 cm right of and 20 cm below the axis, 1 m away: 50 + 200 * 0.1, 40 + 200 * 0.2.
    pixel = camera().project(torch.tensor([[[0.1, 0.2, 1.0]]]))
    torch.testing.assert_close(pixel, torch.tensor([[[70.0, 80.0]]]))


def test_resizing_moves_pixels_with_the_image():
    point = torch.tensor([[[0.1, 0.05, 0.9]]])
    torch.testing.assert_close(camera().resized((50, 40)).project(point), camera().project(point) / 2)


def test_seen_from_head_equals_moving_the_points():
    pose = rigid_transform(matrix_from_axis_angle(torch.tensor([[0.1, 0.4, -0.2]])), torch.tensor([[0.1, 0.0, 0.7]]))
    points = torch.randn(1, 5, 3) * 0.1
    torch.testing.assert_close(
        camera().seen_from(pose).project(points), camera().project(transform_points(pose, points))
    )
