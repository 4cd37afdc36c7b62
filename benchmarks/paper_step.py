"""Training steps and rendered frames a second at the published size, on CUDA with gsplat.

    python benchmarks/paper_step.py [--preset paper] [--batches 1 8] [--steps 20] [--json] [--record FOLDER]

A head of about 140 thousand Gaussians is made from an untrained surface at the preset's cell size: the times do not
depend on its appearance. The autoencoder, perceptual and gaze networks are included with `--critics`, if their weights
are available. Times are medians over synchronised steps; the peak is that of the allocator.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from gaze_core.data.batch import GazeBatch, HeadParameters, Validity
from gaze_core.errors import BadInput
from gaze_core.geometry.cameras import Camera
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian
from gaze_core.models.redirection.initialisation import initialise_from_mesh_head
from gaze_core.models.redirection.mesh_head import MeshHead
from gaze_core.plans.redirection import RedirectionPlan, redirection_plan
from gaze_core.stages.redirection.gaze_gaussian import parameter_groups
from gaze_core.stages.redirection.losses import loss_terms
from gaze_core.training.loop import total
from tasks.measurements import record_values

PUBLISHED_FRAMES_PER_S = 74  # GazeGaussian (Wei et al. 2025), table 1


def random_batch(size: int, image_px: int, device: torch.device) -> GazeBatch:
    """Heads 0.6 m in front of a camera, with random images and labels."""
    random = torch.Generator().manual_seed(0)
    pose = torch.eye(4).repeat(size, 1, 1)
    pose[:, 2, 3] = 0.6
    focal = 2.2 * image_px
    intrinsics = torch.tensor([[focal, 0, image_px / 2], [0, focal, image_px / 2], [0, 0, 1]]).repeat(size, 1, 1)
    ones = torch.ones(size, 1, image_px, image_px)
    eyes = torch.tensor([[0.032, 0.0, 0.02], [-0.032, 0.0, 0.02]])
    yes = torch.ones(size, dtype=torch.bool)
    index = torch.arange(size)
    gaze = torch.rand(size, 2, 2, generator=random) - 0.5
    batch = GazeBatch(
        rgb=torch.rand(size, 3, image_px, image_px, generator=random),
        head_mask=ones, observed_mask=ones, left_eye_mask=ones * 0, right_eye_mask=ones * 0,
        camera=Camera(intrinsics, torch.eye(4).repeat(size, 1, 1), (image_px, image_px)),
        head=HeadParameters(pose, gaze, torch.zeros(size, 80), torch.zeros(size, 64)),
        gaze_head=gaze.mean(1), gaze_camera=gaze.mean(1), landmarks_2d_px=torch.zeros(size, 68, 2),
        landmarks_3d_head_m=landmarks().repeat(size, 1, 1), eye_centers_head_m=eyes.repeat(size, 1, 1),
        valid=Validity(*([yes] * 7)), sample_index=index, subject_index=index * 0,
    )  # fmt: skip
    return batch.to(device)


def landmarks() -> torch.Tensor:
    """Sixty-eight points on the front of the initial ellipsoid; the eyes' are around the eyeballs."""
    turn = torch.linspace(0, 2 * torch.pi, 69)[:68]
    points = torch.stack([0.06 * turn.cos(), 0.02 + 0.09 * turn.sin(), torch.full((68,), 0.0)], dim=-1)
    for start, x in ((36, -0.032), (42, 0.032)):
        angle = torch.arange(6) * torch.pi / 3
        points[start : start + 6] = torch.stack([x + 0.014 * angle.cos(), 0.006 * angle.sin(), angle * 0 + 0.004], -1)
    return points


def untrained_model(plan: RedirectionPlan, device: torch.device, critics: bool) -> GazeGaussian:
    """The preset's model on an untrained surface."""
    config = plan.gaze_gaussian.model
    if not critics:
        config = config.model_copy(update={"renderer": config.renderer.model_copy(update={"autoencoder": None})})
    torch.manual_seed(0)
    head = MeshHead(plan.mesh_head.model, landmarks())
    return initialise_from_mesh_head(config, head, torch.tensor([[0.032, 0.0, 0.02], [-0.032, 0.0, 0.02]])).to(device)


def seconds(run, device: torch.device, repeats: int) -> float:  # type: ignore[no-untyped-def]
    """Median time of `run()` after three calls that do not count, the device synchronised before and after."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    times = []
    for _ in range(3 + repeats):
        wait()
        started = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - started)
    return statistics.median(times[3:])


def measure(model: GazeGaussian, plan: RedirectionPlan, batch: GazeBatch, repeats: int) -> dict[str, float]:
    """Training steps a second, peak memory and rendered frames a second of one batch size."""
    device, config = batch.rgb.device, plan.gaze_gaussian
    optimizer = torch.optim.Adam(parameter_groups(model, None, config), lr=config.fit.learning_rate)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        terms = loss_terms(model(batch.camera, batch.head), batch, config.loss_weights)
        total(terms).backward()
        optimizer.step()

    def render() -> None:
        with torch.no_grad():
            model(batch.camera, batch.head)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model.train()
    step_s = seconds(step, device, repeats)
    peak_gib = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
    model.eval()
    render_s = seconds(render, device, repeats)
    return {
        "batch": len(batch), "steps_per_s": 1 / step_s, "images_per_s": len(batch) / step_s, "peak_gib": peak_gib,
        "frames_per_s": len(batch) / render_s,
    }  # fmt: skip


def main() -> None:
    """Prints a row for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--critics", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--record", type=Path, help="folder of records, docs/measured/paper_step")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("torch finds no CUDA device; expected one, or --device cpu with a small preset")
    device, plan = torch.device(given.device), redirection_plan(given.preset)
    model = untrained_model(plan, device, given.critics)
    rows = [
        measure(model, plan, random_batch(size, plan.gaze_gaussian.model.image_px, device), given.steps)
        for size in given.batches
    ]
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    facts = {"device": name, "gaussians": model.face.num_points + model.eyes.num_points, "rows": rows}
    if given.record:
        record_values(given.record, f"training steps and rendered frames, preset {given.preset}", facts, plan)
    if given.json:
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
        return
    sys.stdout.write(f"{name}, {facts['gaussians']} Gaussians, {plan.gaze_gaussian.model.image_px} px; published: ")
    sys.stdout.write(f"{PUBLISHED_FRAMES_PER_S} frames a second\n")
    for row in rows:
        sys.stdout.write("  ".join(f"{key} {value:.3g}" for key, value in row.items()) + "\n")


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
