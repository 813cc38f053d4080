"""Says what differs when two arrays should be equal: the first few elements with their operands, and the seed."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

SHOWN = 5


def assert_equal(
    got: ArrayLike, want: ArrayLike, *, what: str = "", seed: int | None = None, **operands: ArrayLike
) -> None:
    """Asserts that integer arrays of one shape are equal and not empty; ``operands`` are shown where they differ.

    Raises:
        AssertionError: naming ``what`` was compared, the number of differences, the seed, the first few in hexadecimal.
    """
    left, right = np.asarray(got), np.asarray(want)
    assert left.shape == right.shape, f"shapes differ: {left.shape} and {right.shape}"
    assert left.size > 0, "nothing was compared"
    wrong = np.argwhere(left != right)
    if len(wrong) == 0:
        return
    columns = {**operands, "got": left, "want": right}
    shown = [
        ", ".join(f"{name} {_hex(values, left.shape, tuple(at))}" for name, values in columns.items())
        for at in wrong[:SHOWN]
    ]
    subject = f"{what}: " if what else ""
    origin = "" if seed is None else f" (seed {seed})"
    raise AssertionError(f"{subject}{len(wrong)} of {left.size} differ{origin}:\n  " + "\n  ".join(shown))


def _hex(values: ArrayLike, shape: tuple[int, ...], at: tuple[int, ...]) -> str:
    array: Any = np.asarray(values)
    # an operand may have further axes of its own, the lanes of a vector for one
    element = np.broadcast_to(array, shape)[at] if array.ndim <= len(shape) else array[at]
    return " ".join(hex(int(x)) for x in np.ravel(element))
