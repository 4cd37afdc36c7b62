"""Batches of one or several subjects in a seeded order that does not depend on the number of worker processes.

Workers decompress pictures into memory that they share with this process and report only that they have done so; labels
never travel. If the pictures of all samples fit into the memory granted they stay there, each as the bytes it was
stored as, and are decompressed once and not once an epoch. Here the bytes become floats, in memory that is used again
once nobody holds the batch any more: fresh memory costs more than the conversion.
"""

import shutil
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gaze_core.data.augmentation import Augmentation, Image
from gaze_core.data.batch import GazeBatch
from gaze_core.data.subjects import Pixels, SubjectDataset, assemble
from gaze_core.errors import BadInput
from gaze_core.reproducibility import generator

StartMethod = Literal["fork", "spawn", "forkserver"]
CACHE_BYTES = 2**30
_PREFETCH = 2  # batches that each worker prepares ahead
_PIXEL_BYTES = 4  # R, G, B and the byte of the masks
_SHARED_MEMORY = Path("/dev/shm")


def subject_loader(
    datasets: SubjectDataset | Sequence[SubjectDataset],
    batch_size: int,
    num_workers: int = 0,
    seed: int = 0,
    cache_bytes: int = CACHE_BYTES,
    start_method: StartMethod | None = None,
    augmentation: Augmentation | None = None,
) -> "SubjectLoader":
    """A loader over the samples of all these subjects.

    Pictures are kept in memory if all of them need no more than `cache_bytes` (4 bytes a pixel). `start_method` is
    that of the workers; None is torch's choice. `augmentation` changes each picture anew in each epoch, in the workers,
    as the seed, the epoch and the sample decide.

    Raises:
        BadInput: no sample, subjects of different image size or normalisation, or too little shared memory.
    """
    several = [datasets] if isinstance(datasets, SubjectDataset) else list(datasets)
    require_alike(several)
    return SubjectLoader(several, batch_size, num_workers, seed, cache_bytes, start_method, augmentation)


class SubjectLoader:
    """Iterating gives one epoch of `GazeBatch`es, the last one as short as it must be; iterating again, the next.

    The order of an epoch is a pure function of the seed and its number; `batches` takes an order from outside. One
    iteration at a time. `subject_index` is a position among `datasets`.
    """

    def __init__(
        self, datasets: list[SubjectDataset], batch_size: int, num_workers: int, seed: int, cache_bytes: int,
        start_method: StartMethod | None, augmentation: Augmentation | None,
    ) -> None:  # fmt: skip
        self.datasets, self.batch_size, self.seed = datasets, batch_size, seed
        self.next_epoch = 0
        self._frames = np.concatenate([dataset.indices for dataset in datasets])
        self._subjects = np.repeat(np.arange(len(datasets)), [len(dataset) for dataset in datasets])
        self.labels = {
            name: np.concatenate([dataset.labels[name] for dataset in datasets]) for name in datasets[0].labels
        }
        # Each worker has up to _PREFETCH batches under way, and one more is being converted here.
        self._num_slots = num_workers * _PREFETCH + 1
        num_rows = self._num_slots * batch_size
        self.keeps_pictures = _keeps(self.num_samples, num_rows, datasets[0].size_px, cache_bytes, num_workers > 0)
        self._num_kept = self.num_samples if self.keeps_pictures else 0
        if self.keeps_pictures and augmentation is None:
            num_rows = 0  # batches are taken from where the pictures are kept
        self._augments = augmentation is not None
        change = None if augmentation is None else partial(_changed, augmentation, seed)
        self._reader = _Reader(datasets, self._num_kept, num_rows, num_workers > 0, change)
        self._allocate = Recycled()
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
        """Samples of all subjects that are not usable, by reason."""
        total: defaultdict[str, int] = defaultdict(int)
        for dataset in self.datasets:
            for reason, count in dataset.dropped.items():
                total[reason] += count
        return dict(total)

    def order(self, epoch: int) -> list[list[int]]:
        """Positions of the samples of each batch of this epoch, over all subjects in the order they were given."""
        shuffled = torch.randperm(self.num_samples, generator=generator("epoch", self.seed, epoch)).tolist()
        return [shuffled[first : first + self.batch_size] for first in range(0, self.num_samples, self.batch_size)]

    def close(self) -> None:
        """Ends the workers, as letting go of the loader does; what is read later is read in this process."""
        self._workers = None

    def __iter__(self) -> Iterator[GazeBatch]:
        epoch = self.next_epoch
        self.next_epoch += 1
        return self.batches((items, epoch) for items in self.order(epoch))

    def batches(self, order: Iterable[tuple[list[int], int]]) -> Iterator[GazeBatch]:
        """A batch of the samples at each of these positions; the number beside them seeds their augmentation.

        `order` is asked no further ahead than the workers read, so it may be long.
        """
        tasks = ((self._rows(number, items), items, epoch) for number, (items, epoch) in enumerate(order))
        self._tasks, ours = tee(tasks)
        self._iteration += 1
        return self._batches(ours, self._iteration)

    def _rows(self, number: int, items: list[int]) -> list[int]:
        if self.keeps_pictures and not self._augments:
            return items
        first = self._num_kept + number % self._num_slots * self.batch_size
        return list(range(first, first + len(items)))

    def _batches(self, tasks: "Iterator[_Task]", iteration: int) -> Iterator[GazeBatch]:
        results = map(self._reader.__getitems__, self._tasks) if self._workers is None else iter(self._workers)
        for rows, items, _ in tasks:
            if iteration != self._iteration:
                raise RuntimeError("another iteration over this loader has begun; only one at a time is possible")
            fault = next(results)
            if fault:
                del results  # or the traceback would keep the workers
                self.close()
                raise BadInput(fault)
            labels = {name: values[items] for name, values in self.labels.items()}
            pixels = self._reader.pixels.at(rows)
            where = self._frames[items], self._subjects[items]
            yield assemble(pixels, labels, *where, self.datasets[0].size_px, self._allocate)


_Task = tuple[list[int], list[int], int]  # rows of the shared memory, positions of the samples that go there, epoch


def _changed(augmentation: Augmentation, seed: int, image: Image, epoch: int, item: int) -> Image:
    return augmentation(image, seed, epoch, item)


class _TaskSampler:
    """The batch sampler of the workers: the tasks of the loader's present epoch."""

    def __init__(self, loader: SubjectLoader) -> None:
        self._loader = weakref.proxy(loader)  # no cycle, so workers end with the loader

    def __iter__(self) -> Iterator[_Task]:
        return self._loader._tasks

    def __len__(self) -> int:
        return len(self._loader)


class _Reader(Dataset[str]):
    """Several subjects behind one another, and the memory into which their pictures are read."""

    def __init__(
        self, datasets: list[SubjectDataset], num_kept: int, num_slots: int, shared: bool,
        change: Callable[[Image, int, int], Image] | None,
    ) -> None:  # fmt: skip
        self._datasets, self._num_kept, self._change = datasets, num_kept, change
        num_rows = num_kept + num_slots
        self._starts = np.cumsum([0, *map(len, datasets)])
        width, height = datasets[0].size_px
        self._rgb = torch.empty((num_rows, height, width, 3), dtype=torch.uint8)
        self._masks = torch.empty((num_rows, height, width), dtype=torch.uint8)
        self._held = torch.full((num_rows,), -1)  # position of the sample whose pictures the row holds
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
        """Fills rows with the pictures of these positions; empty, or what is wrong with a file."""
        rows, items = np.asarray(task[0]), np.asarray(task[1])
        sources = items if self._num_kept else rows  # where the picture is as it was stored
        fault = self._read(sources, items)
        if not fault and self._change is not None:
            self._augment(self._change, sources, rows, items, task[2])
        return fault

    def _read(self, rows: ndarray, items: ndarray) -> str:
        held = self._held.numpy()
        absent = held[rows] != items
        rows, items = rows[absent], items[absent]
        held[rows] = -1  # until all is read
        owner = np.searchsorted(self._starts, items, side="right") - 1
        for number in np.unique(owner).tolist():
            own = owner == number
            try:
                self._datasets[number].read_pixels(items[own] - self._starts[number], self.pixels, rows[own].tolist())
            except BadInput as error:  # as text, or torch wraps it into the traceback of its worker
                return str(error)
        held[rows] = items
        return ""

    def _augment(
        self, change: Callable[[Image, int, int], Image], sources: ndarray, rows: ndarray, items: ndarray, epoch: int
    ) -> None:
        pixels = self.pixels
        for source, row, item in zip(sources.tolist(), rows.tolist(), items.tolist(), strict=True):
            pixels.rgb[row] = change(pixels.rgb[source], epoch, item)
            if row != source:
                pixels.masks[row] = pixels.masks[source]
        self._held.numpy()[rows] = -1  # what is there now is no longer as it was stored


class Recycled:
    """Allocates float tensors from memory whose former tensors, and all views of them, are gone."""

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


def _keeps(num_samples: int, num_rows: int, size_px: tuple[int, int], cache_bytes: int, shared: bool) -> bool:
    """Whether there is memory for the pictures of all samples and not only of the batches under way."""
    picture_bytes = _PIXEL_BYTES * size_px[0] * size_px[1]
    left = shutil.disk_usage(_SHARED_MEMORY).free if shared and _SHARED_MEMORY.is_dir() else None
    if left is not None and num_rows * picture_bytes > left:
        raise BadInput(
            f"{_SHARED_MEMORY}: expected {num_rows * picture_bytes / 2**20:.0f} MB for the batches of the workers, found "
            f"{left / 2**20:.0f} MB; use fewer workers (num_workers=0 needs none), a smaller batch, or grant more"
        )
    return num_samples * picture_bytes <= (cache_bytes if left is None else min(cache_bytes, left // 2))


def require_alike(datasets: Sequence[SubjectDataset]) -> None:
    """Raises BadInput if there is no sample, or the subjects differ in image size or normalisation."""
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
