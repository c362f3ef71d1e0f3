"""What rows are, in whichever file they stand: a checksum of each column, by its values in their order."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import orjson
import pyarrow as pa


@dataclass
class ColumnChecksums:
    """CRC-32 of each column's values, however the rows are divided into batches."""

    schema: pa.Schema
    _sums: dict[str, list[int]] = field(init=False)  # of the values, of the lengths of texts, of what is not NULL

    def __post_init__(self) -> None:
        self._sums = {name: [0, 0, 0] for name in self.schema.names}

    def add(self, rows: pa.RecordBatch) -> None:
        """Take in the next rows."""
        for name, column in zip(rows.schema.names, rows.columns, strict=True):
            sums = self._sums[name]
            for place, content in enumerate(_contents(column)):
                sums[place] = zlib.crc32(content, sums[place])

    def to_dict(self) -> dict[str, str]:
        """The checksum of each column: three CRC-32 in hex, one after the other."""
        return {name: "".join(f"{each:08x}" for each in sums) for name, sums in self._sums.items()}


def _contents(column: pa.Array) -> Iterator[memoryview]:
    """A column as bytes, little-endian, NULL as 0 or an empty text: the values, the lengths of texts, what is valid."""
    kind = column.type
    is_valid = column.is_valid()
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        column = column.view(pa.int64() if kind.bit_width == 64 else pa.int32())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            texts = [None if value is None else orjson.dumps(value, default=str) for value in column.to_pylist()]
            column = pa.array(texts, pa.large_binary())
        column = column.cast(pa.large_binary()).fill_null(b"")
        offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
        texts_end_to_end = column.buffers()[2]
        yield memoryview(texts_end_to_end or b"")[offsets[0] : offsets[-1]] if len(offsets) else memoryview(b"")
        yield _bytes_of(np.diff(offsets))
        yield _bytes_of(_as_numbers(is_valid.cast(pa.uint8())))
        return
    yield _bytes_of(_as_numbers(column.fill_null(0)))
    yield memoryview(b"")
    yield _bytes_of(_as_numbers(is_valid.cast(pa.uint8())))


def _as_numbers(column: pa.Array) -> np.ndarray:
    numbers: np.ndarray = column.to_numpy(zero_copy_only=False)
    return numbers


def _bytes_of(numbers: np.ndarray) -> memoryview:
    little = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False)
    return memoryview(little.tobytes())
