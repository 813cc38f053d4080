"""The systolic body: every tile is a matrix product in the order of the contract."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model import numerics as golden
from golden_model.pcu.simd import Words
from hdl.arith.formats import BF16, FP32


@dataclass(frozen=True)
class Tile:
    """One tile: ``slots`` accumulator sets by ``steps`` of k.

    Attributes:
        vectors: (steps, slots, lanes) BF16. broadcast: (steps, rows) BF16. initial: (slots, rows, lanes) FP32.
    """

    vectors: Any
    broadcast: Any
    initial: Any


def products(tiles: list[Tile]) -> list[Words]:
    """(slots, rows, lanes) FP32 bits of each tile.

    Tiles that share a broadcast operand are computed as one wide product: a whole layer is a few calls.
    """
    alike: dict[bytes, list[int]] = defaultdict(list)
    for number, tile in enumerate(tiles):
        alike[golden.to_bits(tile.broadcast).tobytes()].append(number)
    results: list[Any] = [None] * len(tiles)
    for numbers in alike.values():
        columns = [_columns(tiles[i].vectors) for i in numbers]
        starts = [_columns(tiles[i].initial.swapaxes(0, 1)) for i in numbers]
        product = golden.gemm(tiles[numbers[0]].broadcast.T, np.hstack(columns), np.hstack(starts))
        widths = np.cumsum([c.shape[1] for c in columns])[:-1]
        for i, part in zip(numbers, np.split(product, widths, axis=1), strict=True):
            rows = part.reshape(part.shape[0], *tiles[i].vectors.shape[1:]).swapaxes(0, 1)
            results[i] = golden.to_bits(np.ascontiguousarray(rows))
    return results


def _columns(array: Any) -> Any:
    """(a, b, c) as (a, b * c)."""
    return array.reshape(array.shape[0], -1)


def cut_tiles(
    config: Any, vectors: Words, ends: NDArray[np.bool_], beats: NDArray[np.uint16], initial: Words | None
) -> tuple[list[Tile], int, int]:
    """The tiles of a program, and how many broadcast beats and initial vectors they take.

    Args:
        vectors: (n, lanes) words, one an iteration; the BF16 is the upper half. ends: (n,), last iteration of a tile.
        beats: (b, lanes), the broadcast stream. initial: (v, lanes) FP32 words, or None to start from zero.

    Raises:
        ValueError: a stream is shorter than the program needs.
    """
    rows, lanes = int(config.systolic.rows), vectors.shape[1]
    depth = int(config.chain.depth)
    slots = max(1, int(config.chain.counters[depth - 1].limit)) if config.group.slotted else 1
    weights = golden.from_bits(vectors >> np.uint32(16), BF16)
    tiles, beat, start, taken = [], 0, 0, 0
    for end in (int(i) + 1 for i in np.flatnonzero(ends)):
        steps = (end - start) // slots
        blocks = steps if config.systolic.columns else -(-steps // lanes)
        used = blocks * (1 if config.systolic.columns else rows)
        _enough(beats, beat + used, "broadcast beats on vector input 1")
        block = beats[beat : beat + used]
        played = block[:, :rows] if config.systolic.columns else _rows(block, rows, lanes)[:steps]
        if initial is None:
            first = np.zeros((slots, rows, lanes), np.float32)
        else:
            _enough(initial, taken + slots * rows, "initial vectors on vector input 2")
            first = golden.from_bits(initial[taken : taken + slots * rows], FP32).reshape(slots, rows, lanes)
            taken += slots * rows
        tiles.append(Tile(weights[start:end].reshape(steps, slots, lanes), golden.from_bits(played, BF16), first))
        beat, start = beat + used, end
    return tiles, beat, taken


def _rows(beats: NDArray[np.uint16], rows: int, lanes: int) -> NDArray[np.uint16]:
    """Blocks of ``rows`` beats, each ``lanes`` values of k of one row, as (k, rows)."""
    return beats.reshape(-1, rows, lanes).swapaxes(1, 2).reshape(-1, rows)


def _enough(stream: NDArray[Any], wanted: int, what: str) -> None:
    if len(stream) < wanted:
        raise ValueError(f"the program takes {wanted} {what}, {len(stream)} are given")
