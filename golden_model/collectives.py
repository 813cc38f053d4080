"""What collectives leave on the sockets of a ring, with the order of their additions."""

from collections.abc import Sequence

import numpy as np

from golden_model import numerics as golden
from golden_model.operators.arithmetic import Array


def order(sockets: int, chunk: int) -> list[int]:
    """The sockets in the order in which their parts of a chunk are added: it starts behind the one where it ends."""
    return [(chunk + 1 + k) % sockets for k in range(sockets)]


def all_reduce(parts: Sequence[Array]) -> Array:
    """The sum of BF16 arrays, one a socket, each (vectors, lanes), cut into as many chunks of vectors as there are
    sockets: in the order of :func:`order`, each addition in FP32 and rounded to BF16."""
    sockets = len(parts)
    chunks = [np.split(np.asarray(part), sockets) for part in parts]
    done = []
    for c in range(sockets):
        first, *others = order(sockets, c)
        total = chunks[first][c]
        for s in others:
            total = golden.to_bf16(golden.add(golden.to_fp32(total), golden.to_fp32(chunks[s][c])))
        done.append(total)
    return np.concatenate(done)
