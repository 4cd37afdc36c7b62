"""Opens truncated HDF5 files, which HDF5 itself refuses to open."""

import io
import re
from pathlib import Path
from typing import Any

import h5py

_STORED_SIZE = re.compile(r"truncated file: eof = \d+, .*stored_eof = (\d+)")


class _PaddedFile(io.RawIOBase):
    """A truncated file, padded with zeros to its original size."""

    def __init__(self, path: Path, size: int) -> None:
        self._file, self._size, self._position = path.open("rb"), size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._position))
        self._file.seek(self._position)
        data = self._file.read(count)
        buffer[:count] = data + bytes(count - len(data))
        self._position += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def open_truncated(path: Path, refusal: OSError) -> h5py.File | None:
    """The readable start of a truncated file; None if `refusal`, h5py's error, has another cause or the start is damaged."""
    stored = _STORED_SIZE.search(str(refusal))
    try:
        return h5py.File(_PaddedFile(path, int(stored.group(1))), "r") if stored else None
    except OSError:
        return None


def lost_frames(dataset: h5py.Dataset, file_bytes: int) -> list[int]:
    """Frames that are partly beyond the end of the file; all frames if their positions cannot be determined."""
    try:
        return _frames_beyond(dataset, file_bytes)
    except (OSError, RuntimeError):
        return list(range(len(dataset)))


def _frames_beyond(dataset: h5py.Dataset, file_bytes: int) -> list[int]:
    lost: set[int] = set()
    if dataset.chunks is None:
        start, frame_bytes = dataset.id.get_offset(), dataset.nbytes // max(1, len(dataset))
        if start is None:
            return []
        return [frame for frame in range(len(dataset)) if start + (frame + 1) * frame_bytes > file_bytes]
    for number in range(dataset.id.get_num_chunks()):
        chunk = dataset.id.get_chunk_info(number)
        if chunk.byte_offset + chunk.size > file_bytes:
            first = chunk.chunk_offset[0]
            lost |= set(range(first, min(first + dataset.chunks[0], len(dataset))))
    return sorted(lost)
