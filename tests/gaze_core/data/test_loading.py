import json
import multiprocessing
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from gaze_core.data import benchmark, loading
from gaze_core.data.batch import GazeBatch
from gaze_core.data.loading import SubjectLoader, subject_loader
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput
from tests.tiny_subject import write_tiny_subject

COUNTS = (7, 5)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subjects")
    return [
        write_tiny_subject(folder / f"{i}.h5", num_images=count, size_px=16, subject=f"s{i}", seed=i)
        for i, count in enumerate(COUNTS)
    ]


@pytest.fixture
def datasets(paths):
    return [SubjectDataset(path) for path in paths]


def values(record, name=""):
    """All tensors of a batch by their path."""
    found = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, torch.Tensor):
            found[f"{name}{field.name}"] = value
        elif hasattr(value, "__dataclass_fields__"):
            found |= values(value, f"{name}{field.name}.")
    return found


def assert_same(a: GazeBatch, b: GazeBatch):
    for name, value in values(a).items():
        assert torch.equal(value, values(b)[name]), name


def copied(batches):
    return [batch.map(torch.clone) for batch in batches]


def expected_epoch(datasets, loader, epoch):
    """The expected batch, assembled sample by sample."""
    singles = [
        replace(dataset[i], subject_index=torch.tensor([number]))
        for number, dataset in enumerate(datasets)
        for i in range(len(dataset))
    ]
    for items in loader.order(epoch):
        together = {name: torch.cat([values(singles[i])[name] for i in items]) for name in values(singles[0])}
        yield together


@pytest.mark.parametrize(
    ("cache_bytes", "num_workers", "start_method"),
    [(0, 0, None), (2**20, 0, None), (0, 1, "fork"), (0, 2, "fork"), (2**20, 2, "fork"), (0, 1, "spawn")],
)
def test_each_epoch_has_the_samples_of_its_order_for_any_number_of_workers(
    datasets, cache_bytes, num_workers, start_method
):
    loader = subject_loader(datasets, 2, num_workers, 5, cache_bytes, start_method)
    assert loader.keeps_images == bool(cache_bytes)
    for epoch in range(3):
        batches = copied(loader)
        expected = list(expected_epoch(datasets, loader, epoch))
        assert len(batches) == len(loader) == len(expected) == 6
        for batch, wanted in zip(batches, expected, strict=True):
            for name, value in values(batch).items():
                assert torch.equal(value, wanted[name]), (epoch, name)


def test_an_epoch_has_every_sample_once_and_a_short_last_batch(datasets):
    loader = subject_loader(datasets, batch_size=5)
    assert (loader.num_samples, [len(batch) for batch in loader]) == (12, [5, 5, 2])
    assert sorted(i for items in loader.order(1) for i in items) == list(range(12))


def test_the_order_depends_on_seed_and_epoch_alone(datasets):
    loader = subject_loader(datasets, 4, seed=1)
    assert loader.order(0) == subject_loader(datasets, 4, seed=1).order(0)
    assert loader.order(0) != loader.order(1)
    assert loader.order(0) != subject_loader(datasets, 4, seed=2).order(0)
    next(iter(loader))  # an epoch that was not finished counts all the same
    first = next(iter(loader))
    frames = np.concatenate([dataset.indices for dataset in datasets])
    assert first.sample_index.tolist() == frames[loader.order(1)[0]].tolist()


def test_kept_images_are_read_once_and_others_in_every_epoch(datasets, monkeypatch):
    read = []
    original = SubjectDataset.read_pixels

    def counting(self, items, *rest):
        read.extend(items)
        original(self, items, *rest)

    monkeypatch.setattr(SubjectDataset, "read_pixels", counting)
    for cache_bytes, expected in ((4 * 16 * 16 * 12, 12), (4 * 16 * 16 * 12 - 1, 36)):
        read.clear()
        loader = subject_loader(datasets, 5, cache_bytes=cache_bytes)
        for _ in range(3):
            list(loader)
        assert len(read) == expected


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_a_held_batch_keeps_its_values_and_a_released_one_returns_its_memory(datasets, cache_bytes):
    loader = subject_loader(datasets, 4, cache_bytes=cache_bytes)
    held = list(loader)
    before = copied(held)
    part = next(iter(loader)).rgb[1:, 0]  # a view alone keeps the memory, too
    kept = part.clone()
    list(loader)
    for now, then in zip(held, before, strict=True):
        assert_same(now, then)
    assert torch.equal(part, kept)
    addresses = set()
    for batch in loader:
        addresses.add(batch.rgb.data_ptr())
        del batch
    assert len(addresses) < len(loader)


def test_an_unfinished_epoch_does_not_affect_the_next(datasets):
    loader = subject_loader(datasets, 2, num_workers=2, cache_bytes=0, start_method="fork")
    next(iter(loader))
    for batch, wanted in zip(loader, expected_epoch(datasets, loader, 1), strict=True):
        assert torch.equal(batch.rgb, wanted["rgb"])


def test_workers_end_with_the_loader_and_when_it_is_closed(datasets):
    others = set(multiprocessing.active_children())

    def children():
        return len(set(multiprocessing.active_children()) - others)

    loader = subject_loader(datasets, 2, num_workers=2, start_method="fork")
    first = copied(loader)
    assert children() == 2
    loader.close()
    assert children() == 0
    assert [len(batch) for batch in loader] == [len(batch) for batch in first]  # now by this process
    loader = subject_loader(datasets, 2, num_workers=1, start_method="fork")
    list(loader)
    del loader
    assert children() == 0


def test_two_iterations_at_a_time_are_refused(datasets):
    loader = subject_loader(datasets, 2)
    first = iter(loader)
    next(first)
    next(iter(loader))
    with pytest.raises(RuntimeError, match="only one at a time"):
        next(first)


def test_dropped_samples_of_all_subjects_are_counted_and_never_yielded(tmp_path):
    datasets = []
    for i in range(2):
        path = write_tiny_subject(tmp_path / f"{i}.h5", num_images=4, size_px=16)
        with h5py.File(path, "a") as file:
            file["head_mask"][i] = 0
            file["valid/gaze"][3] = False
        datasets.append(SubjectDataset(path))
    loader = subject_loader(datasets, 8)
    assert loader.dropped == {"empty_head_mask": 2, "invalid_gaze": 2}
    (batch,) = loader
    assert sorted(batch.sample_index.tolist()) == [0, 1, 2, 2]
    assert (batch.head_mask.flatten(1).sum(dim=1) > 0).all()


def test_incompatible_subjects_are_refused(datasets, tmp_path):
    larger = SubjectDataset(write_tiny_subject(tmp_path / "larger.h5", num_images=2, size_px=32))
    with pytest.raises(BadInput, match=r"larger\.h5: size_px \(32, 32\) differs from \(16, 16\)"):
        subject_loader([*datasets, larger], 2)
    path = write_tiny_subject(tmp_path / "nearer.h5", num_images=2, size_px=16)
    with h5py.File(path, "a") as file:
        file.attrs["normalization"] = json.dumps({"size_px": 16, "distance_m": 0.3})
    with pytest.raises(BadInput, match=r"nearer\.h5: normalization .* differs"):
        subject_loader([*datasets, SubjectDataset(path)], 2)


def test_no_sample_at_all_is_refused(paths):
    for nothing in ([], [SubjectDataset(paths[0], subset=[])]):
        with pytest.raises(BadInput, match="at least one usable sample"):
            subject_loader(nothing, 2)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_frame_is_one_line_naming_file_and_frame(tmp_path, num_workers):
    path = benchmark.write_subject(tmp_path / "subject.h5", num_images=3, size_px=32, seed=0)
    dataset, others = SubjectDataset(path), set(multiprocessing.active_children())
    with h5py.File(path) as file:
        chunk = file["left_eye_mask"].id.get_chunk_info(1)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    with pytest.raises(BadInput, match=r"subject\.h5: frame 1 cannot be read, the file is damaged") as caught:
        list(subject_loader(dataset, 3, num_workers, start_method="fork" if num_workers else None))
    assert "\n" not in str(caught.value)
    assert not set(multiprocessing.active_children()) - others


def test_little_shared_memory_keeps_no_images_and_too_little_is_refused(datasets, monkeypatch):
    image_bytes = 4 * 16 * 16
    for free, keeps in ((24 * image_bytes, True), (24 * image_bytes - 2, False)):
        monkeypatch.setattr(loading.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert subject_loader(datasets, 1, num_workers=1).keeps_images is keeps
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * image_bytes))
    with pytest.raises(BadInput, match="use fewer workers"):
        subject_loader(datasets, 1, num_workers=1)
    assert subject_loader(datasets, 1).keeps_images  # without workers nothing is shared


def test_the_published_pattern_gives_the_same_tensors(tmp_path):
    path = benchmark.write_subject(tmp_path / "subject.h5", num_images=3, size_px=32, seed=0)
    ours = values(SubjectDataset(path).everything)
    published = benchmark.PublishedPattern([path])
    items = [published[i] for i in range(3)]
    theirs = {name.split("/")[-1]: torch.stack([item[name] for item in items]) for name in items[0]}
    del published._file
    for name, value in ours.items():
        if name in (
            "sample_index",
            "subject_index",
            "head.expression_is_arkit",
            "gaze_sigma_rad",
            "gaze_weight",
        ) or name.startswith("head.published."):
            continue  # not in the file
        prefix, short = name.rpartition(".")[::2]
        wanted = theirs[short]
        assert torch.equal(value, wanted.to(value.dtype)), (prefix, short)
        assert value.dtype == wanted.dtype, name


def test_the_benchmark_compares_both_ways_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark.tempfile, "tempdir", str(tmp_path))
    lines = []
    result = benchmark.run(
        num_subjects=2, num_images=4, size_px=32, batch_size=2, num_repeats=1, report=lines.append
    )  # fmt: skip
    assert result["images"] == 8
    for workers in (0, 2):
        for name in ("published", "ours", "ours_uncached"):
            assert result[f"{name}_images_per_s_workers_{workers}"] > 0
        assert result[f"speedup_workers_{workers}"] > 0
        assert result[f"speedup_uncached_workers_{workers}"] > 0
    json.dumps(result)
    assert all(value > 0 for value in result["stages_ms_per_image"].values())
    assert benchmark.table(result).row_count == 2
    assert len(lines) == 3
    assert not list(tmp_path.iterdir())


@dataclass(frozen=True)
class Numbers:
    """A batch of a system that wants the frames' numbers and the images' bytes alone."""

    images: np.ndarray
    where: list[tuple[int, int]]


def numbers(pixels, labels, frames, subjects, size_px, allocate=None):
    assert size_px == (pixels.rgb.shape[2], pixels.rgb.shape[1])
    assert len(labels["gaze_camera"]) == len(frames)
    return Numbers(pixels.rgb, list(zip(subjects.tolist(), frames.tolist(), strict=True)))


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_batch_has_the_type_of_its_assemble_function(datasets, cache_bytes, num_workers):
    loader = SubjectLoader(datasets, numbers, 4, num_workers, 3, cache_bytes, "fork" if num_workers else None)
    plain = subject_loader(datasets, 4, seed=3)
    for batch, expected in zip(loader, plain, strict=True):
        assert batch.where == list(zip(expected.subject_index.tolist(), expected.sample_index.tolist(), strict=True))
        assert np.array_equal(batch.images, (expected.rgb * 255).round().byte().permute(0, 2, 3, 1).numpy())
    loader.close()


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_any_samples_can_be_read_as_one_batch(datasets, cache_bytes):
    loader = subject_loader(datasets, 2, cache_bytes=cache_bytes)
    items = [loader.num_samples - 1, 0, 3, 3, 1, 0]
    batch = loader.batch(items)
    places = [(s, f) for s, dataset in enumerate(datasets) for f in dataset.indices.tolist()]
    assert list(zip(batch.subject_index.tolist(), batch.sample_index.tolist(), strict=True)) == [
        places[item] for item in items
    ]
    for row, item in enumerate(items):
        subject, frame = places[item]
        own = datasets[subject].batch([datasets[subject].indices.tolist().index(frame)])
        assert torch.equal(batch.rgb[row], own.rgb[0])
        assert torch.equal(batch.gaze_head[row], own.gaze_head[0])
