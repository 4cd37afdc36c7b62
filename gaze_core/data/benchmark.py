"""Times our loader against the pattern of published ones, in one run on one machine, with interleaved repeats."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import h5py
import numpy as np
import torch
from numpy import ndarray
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gaze_core.data.loading import RecyclingAllocator, subject_loader
from gaze_core.data.schema import FIELDS, SCHEMA_VERSION
from gaze_core.data.subjects import Pixels, SubjectDataset, assemble
from gaze_core.reproducibility import generator

NUM_SUBJECTS, NUM_IMAGES, SIZE_PX, BATCH_SIZE, NUM_REPEATS = 2, 60, 512, 8, 5
WORKERS = (0, 2)


def run(
    num_subjects: int = NUM_SUBJECTS,
    num_images: int = NUM_IMAGES,
    size_px: int = SIZE_PX,
    batch_size: int = BATCH_SIZE,
    num_repeats: int = NUM_REPEATS,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Images per second of whole epochs (medians) with 0 and 2 workers, of three loaders that yield the same tensors.

    `published`: the pattern of GazeNeRF's and GazeGaussian's loaders. `ours_uncached`: every epoch decompresses as well.
    `ours`: our defaults, which cache images in memory. First epochs, with start-up costs, are reported separately.
    """
    with tempfile.TemporaryDirectory() as folder:
        report(f"writing {num_subjects} subjects with {num_images} images of {size_px} px")
        paths = [write_subject(Path(folder) / f"{i}.h5", num_images, size_px, seed=i) for i in range(num_subjects)]
        # Files of their own, since HDF5 opens no file twice in one process with different flags.
        copies = [shutil.copyfile(path, path.with_suffix(".copy.h5")) for path in paths]
        stored_mb = sum(path.stat().st_size for path in paths) / 2**20
        started = time.perf_counter()
        datasets = [SubjectDataset(path) for path in paths]
        result: dict[str, Any] = {
            "machine": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}",
            "images": num_subjects * num_images,
            "size_px": size_px,
            "batch_size": batch_size,
            "stored_mb": round(stored_mb, 1),
            "index_s": round(time.perf_counter() - started, 3),
        }
        result["stages_ms_per_image"] = stages_ms(datasets[0], num_repeats)
        for num_workers in WORKERS:
            report(f"{num_workers} workers")
            result |= _compare(copies, datasets, batch_size, num_workers, num_repeats)
    return result


def _compare(
    paths: list[Path], datasets: list[SubjectDataset], batch_size: int, num_workers: int, num_repeats: int
) -> dict[str, Any]:
    makers: dict[str, Callable[[], Iterable[Any]]] = {
        "published": lambda: published_loader(paths, batch_size, num_workers),
        "ours_uncached": lambda: subject_loader(datasets, batch_size, num_workers, cache_bytes=0),
        "ours": lambda: subject_loader(datasets, batch_size, num_workers),
    }
    count = sum(map(len, datasets))
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    loaders: dict[str, Iterable[Any]] = {}
    first_s = {}
    for name, make in makers.items():  # warm-up: allocates memory, starts workers and opens files
        started = time.perf_counter()
        loaders[name] = make()
        _epoch_s(loaders[name])
        first_s[name] = time.perf_counter() - started
    for _ in range(num_repeats):
        for name, loader in loaders.items():  # interleaved, so that other load on the machine affects all equally
            seconds[name].append(_epoch_s(loader))
    rate = {name: count / median(times) for name, times in seconds.items()}
    return {
        **{f"{name}_images_per_s_workers_{num_workers}": round(value, 1) for name, value in rate.items()},
        **{f"{name}_epochs_s_workers_{num_workers}": [round(s, 4) for s in times] for name, times in seconds.items()},
        **{f"{name}_first_epoch_s_workers_{num_workers}": round(value, 3) for name, value in first_s.items()},
        f"speedup_uncached_workers_{num_workers}": round(rate["ours_uncached"] / rate["published"], 2),
        f"speedup_workers_{num_workers}": round(rate["ours"] / rate["published"], 2),
    }


def stages_ms(dataset: SubjectDataset, num_repeats: int) -> dict[str, float]:
    """Time profile of our loader in one process: milliseconds per image, medians over the repeats."""
    frames, pixels = dataset.indices.tolist(), Pixels.empty(len(dataset), dataset.size_px)
    with h5py.File(dataset.path) as file:
        masks = [file[name] for name, field in FIELDS.items() if field.shape == ("h", "w")]
        image = file["image"]
        steps: dict[str, Callable[[], object]] = {
            "decompress_image": lambda: [image[frame] for frame in frames],
            "decompress_masks": lambda: [mask[frame] for mask in masks for frame in frames],
            "decompress_and_pack": lambda: dataset.read_pixels(range(len(frames)), pixels),
            "floats": lambda: assemble(
                pixels, dataset.labels, dataset.indices, np.zeros(len(dataset)), dataset.size_px, allocate
            ),
        }
        allocate = RecyclingAllocator()
        times: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(num_repeats + 1):
            for name, step in steps.items():
                started = time.perf_counter()
                step()
                times[name].append(1e3 * (time.perf_counter() - started) / len(frames))
    return {name: round(median(values[1:]), 3) for name, values in times.items()}


def table(result: dict[str, Any]) -> Table:
    """The rates for a terminal."""
    stages = ", ".join(f"{name.replace('_', ' ')} {value} ms" for name, value in result["stages_ms_per_image"].items())
    caption = f"{result['images']} images of {result['size_px']} px; {result['machine']}; an image: {stages}"
    rate_table = Table(
        "workers", "published, images/s", "ours uncached", "ours", "speedup uncached", "speedup", caption=caption
    )
    for workers in WORKERS:
        rates = (f"{name}_images_per_s" for name in ("published", "ours_uncached", "ours"))
        columns = (*rates, "speedup_uncached", "speedup")
        rate_table.add_row(str(workers), *(str(result[f"{column}_workers_{workers}"]) for column in columns))
    return rate_table


def _epoch_s(loader: Iterable[Any]) -> float:
    started = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - started


def published_loader(paths: list[Path], batch_size: int, num_workers: int) -> DataLoader[dict[str, Tensor]]:
    """Shuffled batches by torch's defaults, of the items below."""
    return DataLoader(
        PublishedPattern(paths), batch_size, shuffle=True, generator=generator("published"), num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )  # fmt: skip


class PublishedPattern(Dataset[dict[str, Tensor]]):
    """The reading pattern of GazeNeRF's and GazeGaussian's loaders on our files: item by item, opening a file for each.

    Three masks are searched for their values to see whether the sample is good, masks are scaled in float64, and every
    field is a tensor of its own that the default collation stacks. What only their data needs is left out (erosion of
    the mask, a fit's vertices, the change from BGR), and workers and batches are torch's, so nothing is slowed down.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._items = []
        for path in paths:
            with h5py.File(path, "r") as file:
                self._items += [(path, index) for index in range(len(file["image"]))]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        path, index = self._items[item]
        self._file = h5py.File(path, "r", swmr=True)  # the previous file is closed by garbage collection
        head, left, right = (self._file[f"{name}_mask"][index] for name in ("head", "left_eye", "right_eye"))
        if _constant(head) or (_constant(left) and _constant(right)):
            return self[int(torch.randint(len(self), ()))]
        observed = self._file["observed_mask"][index]
        masks = {"head_mask": head, "observed_mask": observed, "left_eye_mask": left, "right_eye_mask": right}
        image = torch.from_numpy(self._file["image"][index].transpose(2, 0, 1)).contiguous()
        values = {"rgb": image.float().div(255)}
        values |= {name: torch.from_numpy(mask / 255.0).float()[None] for name, mask in masks.items()}
        for name, field in FIELDS.items():
            if "h" not in field.shape:
                values[name] = torch.as_tensor(self._file[name][index])
        return values


def _constant(mask: ndarray) -> bool:
    return len(np.unique(mask)) == 1


def write_subject(path: Path, num_images: int, size_px: int, seed: int) -> Path:
    """A subject file as large recordings are stored (lzf, a chunk for each frame), with images of a photo's entropy."""
    random = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for name, field in FIELDS.items():
            shape = tuple(size_px if isinstance(s, str) else s for s in field.shape)
            packed = {"chunks": (1, *shape), "compression": "lzf"} if "h" in field.shape else {}
            fill = True if field.dtype == "bool" else 0
            file.create_dataset(name, (num_images, *shape), field.dtype, fillvalue=fill, **packed)
        for frame in range(num_images):
            for name, image in _images(random, size_px).items():
                file[name][frame] = image
        file["intrinsics_px"][:] = np.diag([3.1 * size_px, 3.1 * size_px, 1])
        file["world_to_camera"][:] = file["head_to_world"][:] = np.eye(4)
        file.attrs.update(
            {
                "schema_version": SCHEMA_VERSION, "subject": f"benchmark_{seed}", "source": "synthetic",
                "label_source": "exact", "normalization": json.dumps({"size_px": size_px}),
                "provenance": json.dumps({"generator": "benchmark", "seed": seed}), "dropped": "{}",
            }
        )  # fmt: skip
    return path


def _images(random: np.random.Generator, size_px: int) -> dict[str, ndarray]:
    """A gradient with blurred noise, and ellipses for the head and the eyes."""
    y, x = np.mgrid[:size_px, :size_px].astype(np.float32) / size_px
    noise = cv2.GaussianBlur(random.normal(0, 40, (size_px, size_px, 3)).astype(np.float32), (0, 0), 2)
    image = 120 + 80 * np.stack([x, y, 1 - x], axis=-1) + noise
    shift = random.uniform(-0.05, 0.05, 2)

    def ellipse(center: tuple[float, float], radii: tuple[float, float]) -> ndarray:
        u, v = (x - center[0] - shift[0]) / radii[0], (y - center[1] - shift[1]) / radii[1]
        return np.where(u * u + v * v < 1, 255, 0).astype(np.uint8)

    return {
        "image": image.clip(0, 255).astype(np.uint8),
        "head_mask": ellipse((0.5, 0.5), (0.35, 0.43)),
        "observed_mask": np.full((size_px, size_px), 255, np.uint8),
        "left_eye_mask": ellipse((0.6, 0.42), (0.05, 0.02)),
        "right_eye_mask": ellipse((0.4, 0.42), (0.05, 0.02)),
    }
