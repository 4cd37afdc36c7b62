"""Batches of one or several subjects in a seeded order that does not depend on the number of worker processes.

The type of a batch is chosen by the training: an `Assemble` makes it from the images' bytes and the labels.

Workers decompress images into shared memory and report only completion; labels are never transferred. If the images of
all samples fit into the cache they stay there as bytes, and are decompressed only once. This process converts bytes to
floats, in memory that is reused once its batch is released: fresh memory costs more than the conversion.
"""

import shutil
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import tee
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gaze_core.data.batch import GazeBatch
from gaze_core.data.subjects import Assemble, Pixels, SubjectDataset, assemble
from gaze_core.errors import BadInput
from gaze_core.reproducibility import generator

StartMethod = Literal["fork", "spawn", "forkserver"]
CACHE_BYTES = 2**30
_PREFETCH = 2  # batches that each worker prepares ahead
_PIXEL_BYTES = 4  # R, G, B and the byte of the masks
_SHARED_MEMORY = Path("/dev/shm")
B = TypeVar("B")


def subject_loader(
    datasets: SubjectDataset | Sequence[SubjectDataset],
    batch_size: int,
    num_workers: int = 0,
    seed: int = 0,
    cache_bytes: int = CACHE_BYTES,
    start_method: StartMethod | None = None,
) -> "SubjectLoader[GazeBatch]":
    """A loader over the samples of all these subjects.

    Images are kept in memory if all of them need no more than `cache_bytes` (4 bytes a pixel). `start_method` is
    that of the workers; None is torch's choice.

    Raises:
        BadInput: there is no sample, subjects differ in image size or normalisation, or shared memory is too small.
    """
    several = [datasets] if isinstance(datasets, SubjectDataset) else list(datasets)
    require_compatible(several)
    return SubjectLoader(several, assemble, batch_size, num_workers, seed, cache_bytes, start_method)


class SubjectLoader(Generic[B]):
    """A loader. Each iteration yields one epoch of batches; the last batch may be shorter.

    The order of an epoch is a pure function of the seed and its number; `batches` takes an explicit order. Only
    one iteration at a time. `subject_index` is a position among `datasets`.
    """

    def __init__(
        self, datasets: list[SubjectDataset], assemble: Assemble[B], batch_size: int, num_workers: int = 0, seed: int = 0,
        cache_bytes: int = CACHE_BYTES, start_method: StartMethod | None = None,
    ) -> None:  # fmt: skip
        self.datasets, self.batch_size, self.seed = datasets, batch_size, seed
        self._assemble = assemble
        self.next_epoch = 0
        self._frames = np.concatenate([dataset.indices for dataset in datasets])
        self._subjects = np.repeat(np.arange(len(datasets)), [len(dataset) for dataset in datasets])
        self.labels = {
            name: np.concatenate([dataset.labels[name] for dataset in datasets]) for name in datasets[0].labels
        }
        # Each worker has up to _PREFETCH batches in flight, and one more is being converted here.
        self._num_slots = num_workers * _PREFETCH + 1
        num_rows = self._num_slots * batch_size
        self.keeps_images = _fits_in_memory(
            self.num_samples, num_rows, datasets[0].size_px, cache_bytes, num_workers > 0
        )
        self._num_kept = self.num_samples if self.keeps_images else 0
        if self.keeps_images:
            num_rows = 0  # batches are read from the cache
        self._reader = _Reader(datasets, self._num_kept, num_rows, num_workers > 0)
        self._allocate = RecyclingAllocator()
        self._tasks: Iterator[_Task] = iter(())
        self._iteration = 0
        self._workers: DataLoader[Any] | None = None
        if num_workers:
            self._workers = DataLoader(
                self._reader, batch_sampler=cast(Any, _TaskSampler(self)), num_workers=num_workers, collate_fn=_unchanged,
                prefetch_factor=_PREFETCH, persistent_workers=True, multiprocessing_context=start_method,
            )  # fmt: skip

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)

    @property
    def num_samples(self) -> int:
        """Samples of an epoch."""
        return len(self._frames)

    @property
    def frames(self) -> tuple[Tensor, Tensor]:
        """`subject_index` and `sample_index` of each sample."""
        return torch.from_numpy(self._subjects), torch.from_numpy(self._frames.astype(np.int64))

    @property
    def dropped(self) -> dict[str, int]:
        """Number of unusable samples of all subjects, by reason."""
        total: defaultdict[str, int] = defaultdict(int)
        for dataset in self.datasets:
            for reason, count in dataset.dropped.items():
                total[reason] += count
        return dict(total)

    def order(self, epoch: int) -> list[list[int]]:
        """Positions of the samples of each batch of this epoch, over all subjects in the given order."""
        shuffled = torch.randperm(self.num_samples, generator=generator("epoch", self.seed, epoch)).tolist()
        return [shuffled[first : first + self.batch_size] for first in range(0, self.num_samples, self.batch_size)]

    def close(self) -> None:
        """Ends the workers, as deletion of the loader does; later reads happen in this process."""
        self._workers = None

    def __iter__(self) -> Iterator[B]:
        epoch = self.next_epoch
        self.next_epoch += 1
        return self.batches(self.order(epoch))

    def batches(self, order: Iterable[list[int]]) -> Iterator[B]:
        """A batch of the samples at each of these positions.

        `order` is consumed lazily, only as far ahead as the workers read.
        """
        self._tasks, ours = tee((self._rows(number, items), items) for number, items in enumerate(order))
        self._iteration += 1
        return self._batches(ours, self._iteration)

    def batch(self, items: Sequence[int]) -> B:
        """One batch of the samples at these positions, read in this process; for a loader without workers.

        Raises:
            BadInput: a file is damaged.
        """
        wanted = list(items)
        if self.keeps_images:
            self._reader.read(wanted, wanted)
            return self._batch_of(self._reader.pixels.at(wanted), wanted)
        pixels = Pixels.empty(len(wanted), self.datasets[0].size_px)
        self._reader.read_into(pixels, np.arange(len(wanted)), np.asarray(wanted, dtype=int))
        return self._batch_of(pixels, wanted)

    def _rows(self, number: int, items: list[int]) -> list[int]:
        if self.keeps_images:
            return items
        first = self._num_kept + number % self._num_slots * self.batch_size
        return list(range(first, first + len(items)))

    def _batches(self, tasks: "Iterator[_Task]", iteration: int) -> Iterator[B]:
        results = map(self._reader.__getitems__, self._tasks) if self._workers is None else iter(self._workers)
        for rows, items in tasks:
            if iteration != self._iteration:
                raise RuntimeError("another iteration over this loader has begun; only one at a time is possible")
            fault = next(results)
            if fault:
                del results  # else the traceback keeps the workers alive
                self.close()
                raise BadInput(fault)
            yield self._batch_of(self._reader.pixels.at(rows), items)

    def _batch_of(self, pixels: Pixels, items: list[int]) -> B:
        labels = {name: values[items] for name, values in self.labels.items()}
        where = self._frames[items], self._subjects[items]
        return self._assemble(pixels, labels, *where, self.datasets[0].size_px, self._allocate)


_Task = tuple[list[int], list[int]]  # rows of the shared memory, positions of the samples that go there


class _TaskSampler:
    """The batch sampler of the workers: the tasks of the loader's current epoch."""

    def __init__(self, loader: SubjectLoader[Any]) -> None:
        self._loader = weakref.proxy(loader)  # no cycle, so workers end with the loader

    def __iter__(self) -> Iterator[_Task]:
        return self._loader._tasks

    def __len__(self) -> int:
        return len(self._loader)


class _Reader(Dataset[str]):
    """The concatenated subjects, and the memory into which their images are read."""

    def __init__(self, datasets: list[SubjectDataset], num_kept: int, num_slots: int, shared: bool) -> None:
        self._datasets = datasets
        num_rows = num_kept + num_slots
        self._starts = np.cumsum([0, *map(len, datasets)])
        width, height = datasets[0].size_px
        self._rgb = torch.empty((num_rows, height, width, 3), dtype=torch.uint8)
        self._masks = torch.empty((num_rows, height, width), dtype=torch.uint8)
        self._held = torch.full((num_rows,), -1)  # position of the sample whose images the row holds
        if shared:
            for tensor in (self._rgb, self._masks, self._held):
                tensor.share_memory_()

    @property
    def pixels(self) -> Pixels:
        """All rows."""
        return Pixels(self._rgb.numpy(), self._masks.numpy())

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitems__(self, task: _Task) -> str:
        """Fills rows with the images of these positions; returns an empty string, or the fault of a file."""
        try:
            self.read(*task)
        except BadInput as error:  # as text, since torch would wrap it into the worker's traceback
            return str(error)
        return ""

    def read(self, rows: Sequence[int], items: Sequence[int]) -> None:
        """Fills rows with the images of these positions, unless they hold them already.

        Raises:
            BadInput: a file is damaged.
        """
        held, wanted, positions = self._held.numpy(), np.asarray(rows, dtype=int), np.asarray(items, dtype=int)
        absent = held[wanted] != positions
        wanted, positions = wanted[absent], positions[absent]
        held[wanted] = -1  # invalid until all images are read
        self.read_into(self.pixels, wanted, positions)
        held[wanted] = positions

    def read_into(self, pixels: Pixels, rows: ndarray, items: ndarray) -> None:
        """Reads the images into other memory, unconditionally."""
        owner = np.searchsorted(self._starts, items, side="right") - 1
        for number in np.unique(owner).tolist():
            own = owner == number
            self._datasets[number].read_pixels(items[own] - self._starts[number], pixels, rows[own].tolist())


class RecyclingAllocator:
    """Allocates float tensors from the memory of earlier tensors that are no longer referenced."""

    def __init__(self) -> None:
        self._free: defaultdict[tuple[int, ...], list[ndarray]] = defaultdict(list)

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        free = self._free[shape]
        memory = free.pop() if free else np.empty(shape, np.float32)
        view = memory.view()  # lives as long as any tensor on this memory
        weakref.finalize(view, free.append, memory).atexit = False
        return torch.from_numpy(view)


def _unchanged(fault: Any) -> Any:
    return fault


def _fits_in_memory(num_samples: int, num_rows: int, size_px: tuple[int, int], cache_bytes: int, shared: bool) -> bool:
    """Whether the images of all samples fit into memory, not only those of the batches in flight."""
    image_bytes = _PIXEL_BYTES * size_px[0] * size_px[1]
    left = shutil.disk_usage(_SHARED_MEMORY).free if shared and _SHARED_MEMORY.is_dir() else None
    if left is not None and num_rows * image_bytes > left:
        raise BadInput(
            f"{_SHARED_MEMORY}: expected {num_rows * image_bytes / 2**20:.0f} MB for the batches of the workers, found "
            f"{left / 2**20:.0f} MB; use fewer workers (num_workers=0 needs none), a smaller batch, or grant more"
        )
    return num_samples * image_bytes <= (cache_bytes if left is None else min(cache_bytes, left // 2))


def require_compatible(datasets: Sequence[SubjectDataset]) -> None:
    """Raises BadInput if there is no sample, or if the subjects differ in image size or normalisation."""
    if not any(len(dataset) for dataset in datasets):
        raise BadInput(
            "expected at least one usable sample, found none; look at the files with: gazeworks data validate"
        )
    first = datasets[0]
    for other in datasets[1:]:
        for name in ("size_px", "normalization"):
            if getattr(other, name) != getattr(first, name):
                raise BadInput(
                    f"{other.path}: {name} {getattr(other, name)} differs from {getattr(first, name)} of {first.path}; "
                    "subjects that are mixed in a batch must be normalised alike, run preprocess again"
                )
