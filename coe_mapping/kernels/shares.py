"""How the PCUs of a machine are shared out to the products of a decoder layer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shares:
    """PCUs of every product.

    Attributes:
        query, output: of the queries, and of what attention leaves.
        key: of the keys, and as many of the values.
        inner: of the gate, and as many for what is gated.
        down: of the last product. Where rows come in several blocks, one for each of ``inner``.
        lines: of several blocks of rows, PCUs of each of the gate, what is gated, and the last product, that work on a
            block each with the same weights, which are read once for all of them; with ``inner`` 1.
        stacked: of a batch, attention works on the query heads that share a key head at once, and a unit more divides
            their sums; else head by head.
        early: of a batch in one block, old rows of the keys are read while the new ones are made, which takes a load
            more; else all of them afterwards.
        resident: shares of products, ``gate0`` for instance, whose weights PMUs hold for the whole kernel; the others
            are streamed from memory again for every block of rows.
    """

    query: int = 1
    key: int = 1
    output: int = 1
    inner: int = 1
    down: int = 1
    lines: int = 1
    stacked: bool = True
    early: bool = True
    resident: frozenset[str] = frozenset()
