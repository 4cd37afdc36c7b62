"""Compiled EWA projection and its derivative: one scalar pass over the Gaussians, in float64 inside, GIL released.

The equations are those of `projection.project`; float64 costs nothing here (no vector code), and the determinant of a
long thin Gaussian would lose three digits in float32.
"""

import math

import numpy as np

from gaze_core.splat.compiled import compiled

_LARGEST_PX = 1e7  # limit of a Gaussian's box: more would overflow the integers of binning


@compiled
def _rotation(quats, i):
    """Rotation matrix of a quaternion by rows, the unit quaternion and its former length."""
    w, x, y, z = float(quats[i, 0]), float(quats[i, 1]), float(quats[i, 2]), float(quats[i, 3])
    length = max(math.sqrt(w * w + x * x + y * y + z * z), 1e-12)
    w, x, y, z = w / length, x / length, y / length, z / length
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        (w, x, y, z),
        length,
    )


@compiled
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
def _mix(s, a, t, b):
    """s a + t b."""
    return s * a[0] + t * b[0], s * a[1] + t * b[1], s * a[2] + t * b[2]


@compiled
def _row(matrix, r):
    return float(matrix[r, 0]), float(matrix[r, 1]), float(matrix[r, 2])


@compiled
def _axes_seen(view, rotation, scales, i):
    """Rows of (camera rotation) (Gaussian rotation) diag(scales): the scaled axes in the camera's frame."""
    s = (float(scales[i, 0]), float(scales[i, 1]), float(scales[i, 2]))
    r0, r1, r2 = rotation[0], rotation[1], rotation[2]
    rows = (
        (r0[0] * s[0], r0[1] * s[1], r0[2] * s[2]),
        (r1[0] * s[0], r1[1] * s[1], r1[2] * s[2]),
        (r2[0] * s[0], r2[1] * s[1], r2[2] * s[2]),
    )
    seen = (_combine(_row(view, 0), rows), _combine(_row(view, 1), rows), _combine(_row(view, 2), rows))
    return rows, seen


@compiled
def _combine(weights, rows):
    """weights^T rows, for three rows."""
    return (
        weights[0] * rows[0][0] + weights[1] * rows[1][0] + weights[2] * rows[2][0],
        weights[0] * rows[0][1] + weights[1] * rows[1][1] + weights[2] * rows[2][1],
        weights[0] * rows[0][2] + weights[1] * rows[1][2] + weights[2] * rows[2][2],
    )


@compiled
def _point(view, means, i):
    m = (float(means[i, 0]), float(means[i, 1]), float(means[i, 2]))
    return (
        _dot(_row(view, 0), m) + float(view[0, 3]),
        _dot(_row(view, 1), m) + float(view[1, 3]),
        _dot(_row(view, 2), m) + float(view[2, 3]),
    )


@compiled
def _clamped(ratio, size, focal, center, margin):
    extra = margin * 0.5 * size / focal
    return min(max(ratio, -center / focal - extra), (size - center) / focal + extra)


@compiled
def project(
    first, last, means, quats, scales, opacities, view, K, width, height, near, eps2d, margin, min_alpha,
    out_means, out_conics, out_depths, out_extents,
):  # fmt: skip
    """Gaussians [first, last) of one cloud; `out_extents` stays 0 where a Gaussian cannot touch the image."""
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    for i in range(first, last):
        x, y, z = _point(view, means, i)
        out_depths[i] = z
        if not z > near:
            # The same safe values that the reference uses for points behind the camera.
            out_means[i, 0], out_means[i, 1] = fx + cx, fy + cy
            out_conics[i, 0], out_conics[i, 1], out_conics[i, 2] = 1, 0, 1
            out_extents[i, 0] = out_extents[i, 1] = 0
            continue
        _, seen = _axes_seen(view, _rotation(quats, i), scales, i)
        u, v = _clamped(x / z, width, fx, cx, margin), _clamped(y / z, height, fy, cy, margin)
        h0 = _mix(fx / z, seen[0], -fx * u / z, seen[2])
        h1 = _mix(fy / z, seen[1], -fy * v / z, seen[2])
        xx, xy, yy = _dot(h0, h0) + eps2d, _dot(h0, h1), _dot(h1, h1) + eps2d
        determinant = xx * yy - xy * xy
        mx, my = fx * x / z + cx, fy * y / z + cy
        out_means[i, 0], out_means[i, 1] = mx, my
        out_conics[i, 0], out_conics[i, 1], out_conics[i, 2] = yy / determinant, -xy / determinant, xx / determinant
        opacity = float(opacities[i])
        reach = min(math.sqrt(2 * math.log(max(255 * opacity, 1.0))), 3.33)
        rx, ry = min(reach * math.sqrt(xx), _LARGEST_PX), min(reach * math.sqrt(yy), _LARGEST_PX)
        box_x, box_y = math.ceil(rx), math.ceil(ry)
        inside = mx + box_x > 0 and mx - box_x < width and my + box_y > 0 and my - box_y < height
        visible = inside and opacity >= min_alpha and determinant > 0
        out_extents[i, 0] = rx if visible else 0.0
        out_extents[i, 1] = ry if visible else 0.0


@compiled
def project_backward(
    first, last, means, quats, scales, view, K, width, height, near, eps2d, margin,
    grad_means2d, grad_conics, grad_depths,
    out_means, out_quats, out_scales, out_view,
):  # fmt: skip
    """Derivatives of `project` for Gaussians [first, last); `out_view` (3, 4) gathers those of the extrinsics."""
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    g_view = np.zeros((3, 4))
    for i in range(first, last):
        x, y, z = _point(view, means, i)
        g_depth = float(grad_depths[i])
        if not z > near:
            _to_world(view, (0.0, 0.0, g_depth), means, i, out_means, g_view)
            continue
        gm0, gm1 = float(grad_means2d[i, 0]), float(grad_means2d[i, 1])
        gx, gy = fx / z * gm0, fy / z * gm1
        gz = g_depth - (fx * x * gm0 + fy * y * gm1) / (z * z)
        ga, gb, gc = float(grad_conics[i, 0]), 0.5 * float(grad_conics[i, 1]), float(grad_conics[i, 2])
        if ga == 0 and gb == 0 and gc == 0:
            _to_world(view, (gx, gy, gz), means, i, out_means, g_view)
            continue
        rotation = _rotation(quats, i)
        rows, seen = _axes_seen(view, rotation, scales, i)
        u, v = _clamped(x / z, width, fx, cx, margin), _clamped(y / z, height, fy, cy, margin)
        a0, b0, a1, b1 = fx / z, -fx * u / z, fy / z, -fy * v / z
        h0, h1 = _mix(a0, seen[0], b0, seen[2]), _mix(a1, seen[1], b1, seen[2])
        # dL/dSigma = -K G K for the inverse covariance K = ((a, b), (b, c)) and its gradient G.
        xx, xy, yy = _dot(h0, h0) + eps2d, _dot(h0, h1), _dot(h1, h1) + eps2d
        determinant = xx * yy - xy * xy
        # Not the stored conics: rounded to float32 they would cost a long thin Gaussian three digits.
        a, b, c = yy / determinant, -xy / determinant, xx / determinant
        k00, k01 = ga * a + gb * b, ga * b + gb * c
        k10, k11 = gb * a + gc * b, gb * b + gc * c
        q00, q01, q11 = -(a * k00 + b * k10), -(a * k01 + b * k11), -(b * k01 + c * k11)
        gh0, gh1 = _mix(2 * q00, h0, 2 * q01, h1), _mix(2 * q01, h0, 2 * q11, h1)
        g_seen = (_mix(a0, gh0, 0.0, gh1), _mix(a1, gh1, 0.0, gh0), _mix(b0, gh0, b1, gh1))
        g_a0, g_b0, g_a1, g_b1 = _dot(gh0, seen[0]), _dot(gh0, seen[2]), _dot(gh1, seen[1]), _dot(gh1, seen[2])
        gz += (-fx * g_a0 + fx * u * g_b0 - fy * g_a1 + fy * v * g_b1) / (z * z)
        if u == x / z:
            gx, gz = gx - fx * g_b0 / (z * z), gz + fx * g_b0 * x / (z * z * z)
        if v == y / z:
            gy, gz = gy - fy * g_b1 / (z * z), gz + fy * g_b1 * y / (z * z * z)
        _to_world(view, (gx, gy, gz), means, i, out_means, g_view)
        for r in range(3):
            for k in range(3):
                g_view[r, k] += _dot(g_seen[r], rows[k])
        _to_quaternion_and_scales(view, rotation, scales, g_seen, i, out_quats, out_scales)
    for r in range(3):
        for k in range(4):
            out_view[r, k] = g_view[r, k]


@compiled
def _to_world(view, g, means, i, out_means, g_view):
    """From the gradient of a point in the camera's frame to those of the point and of the extrinsics."""
    for k in range(3):
        out_means[i, k] = g[0] * float(view[0, k]) + g[1] * float(view[1, k]) + g[2] * float(view[2, k])
        g_view[0, k] += g[0] * float(means[i, k])
        g_view[1, k] += g[1] * float(means[i, k])
        g_view[2, k] += g[2] * float(means[i, k])
    g_view[0, 3] += g[0]
    g_view[1, 3] += g[1]
    g_view[2, 3] += g[2]


@compiled
def _to_quaternion_and_scales(view, rotation, scales, g_seen, i, out_quats, out_scales):
    columns = (
        (float(view[0, 0]), float(view[1, 0]), float(view[2, 0])),
        (float(view[0, 1]), float(view[1, 1]), float(view[2, 1])),
        (float(view[0, 2]), float(view[1, 2]), float(view[2, 2])),
    )
    g0, g1, g2 = _combine(columns[0], g_seen), _combine(columns[1], g_seen), _combine(columns[2], g_seen)
    r0, r1, r2 = rotation[0], rotation[1], rotation[2]
    out_scales[i, 0] = g0[0] * r0[0] + g1[0] * r1[0] + g2[0] * r2[0]
    out_scales[i, 1] = g0[1] * r0[1] + g1[1] * r1[1] + g2[1] * r2[1]
    out_scales[i, 2] = g0[2] * r0[2] + g1[2] * r1[2] + g2[2] * r2[2]
    s0, s1, s2 = float(scales[i, 0]), float(scales[i, 1]), float(scales[i, 2])
    g00, g01, g02 = g0[0] * s0, g0[1] * s1, g0[2] * s2
    g10, g11, g12 = g1[0] * s0, g1[1] * s1, g1[2] * s2
    g20, g21, g22 = g2[0] * s0, g2[1] * s1, g2[2] * s2
    w, x, y, z = rotation[3]
    gw = 2 * (-z * g01 + y * g02 + z * g10 - x * g12 - y * g20 + x * g21)
    gx = 2 * (y * g01 + z * g02 + y * g10 - 2 * x * g11 - w * g12 + z * g20 + w * g21 - 2 * x * g22)
    gy = 2 * (-2 * y * g00 + x * g01 + w * g02 + x * g10 + z * g12 - w * g20 + z * g21 - 2 * y * g22)
    gz = 2 * (-2 * z * g00 - w * g01 + x * g02 + w * g10 - 2 * z * g11 + y * g12 + x * g20 + y * g21)
    along = w * gw + x * gx + y * gy + z * gz  # a longer quaternion is the same rotation
    length = rotation[4]
    out_quats[i, 0], out_quats[i, 1] = (gw - along * w) / length, (gx - along * x) / length
    out_quats[i, 2], out_quats[i, 3] = (gy - along * y) / length, (gz - along * z) / length
