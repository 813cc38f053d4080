"""The tables of ``docs/agcu.md``, made from the layouts: ``python -m hdl.agcu.manual`` prints them."""

from typing import Any

from hdl.agcu.config import Cause, Status, agcu_layout
from hdl.manual import fields, size, status_table, table
from hdl.params import TEST, RDUParams
from hdl.pmu.manual import MEANINGS as PMU_MEANINGS

SAME_AS_PMU = ("chain.", "registers[]")  # fields of a stream that a PMU pipeline has too

MEANINGS = {
    "segments[].base": "byte address of the segment, a multiple of the granule",
    "segments[].unused": "so that a segment is whole words",
    "segments[].limit": "bytes of the segment",
    "readable": "bit k: segment k may be read",
    "writable": "bit k: segment k may be written",
    "loads[].access.enable": "the stream takes part in the program",
    "loads[].access.address": "register that holds the byte offset within the segment",
    "loads[].access.limit.enable": "partial vectors",
    "loads[].access.limit.register": "register that holds the number of lanes (of words, with `scalar`), signed: below "
    "0 none, above all",
    "loads[].access.bit.enable": "accesses with a clear predicate bit are dropped",
    "loads[].access.bit.register": "register that holds the bit",
    "loads[].access.bit.position": "which of its bits",
    "loads[].access.segment": "the segment that the stream may touch",
    "loads[].access.step": "bytes that each round lies further on than the one before",
    "loads[].access.fence.enable": "accesses wait for the answers to all writes of the unit",
    "loads[].access.fence.boundary": "which: the first of this",
    "loads[].sequence.enable": "vectors carry a sequence id",
    "loads[].sequence.register": "register whose low 16 bits are the id",
    "loads[].scalar": "the words of the vectors go to scalar output 0, one by one, not to the vector output",
    "stores[].access": "the same fields as `loads[].access`",
    "stores[].source": "0: data come from the vector input; j + 1: an access writes one word from scalar input j",
    "scalar_in[].stream": "k + 1: stream k takes the input as an operand; loads count first, then stores",
    "scalar_in[].boundary": "its head is popped after the last iteration of this",
    "scalar_out[].stream": "k + 1: stream k sends offsets of its accesses",
    "scalar_out[].boundary": "of the last access of this",
    "token_in[].stream": "k + 1: stream k waits for a token",
    "token_in[].boundary": "before the first access of this",
    "token_in[].carried": "from a round to the next: not awaited in the first round",
    "token_out[].stream": "k + 1: stream k sends a token",
    "token_out[].boundary": "after the last access of this: when its writes were answered, or its data read",
    "token_out[].carried": "from a round to the next: not sent in the last round",
}


def meaning(name: str) -> str:
    """What a field is for.

    Raises:
        KeyError: nobody wrote it down.
    """
    inner = name.removeprefix("loads[].access.")
    if inner.startswith(SAME_AS_PMU):
        return PMU_MEANINGS[f"read.{inner}"]
    return PMU_MEANINGS[inner] if inner.startswith("alu[]") else MEANINGS[name]


def shown(params: RDUParams) -> list[tuple[str, Any]]:
    """The fields of the table, each with its shape; what stores share with loads stands there once."""
    layout = agcu_layout(params)
    all_fields = [(name, shape) for name, shape in fields(layout) if not name.startswith("stores[].access.")]
    place = next(i for i, (name, _) in enumerate(all_fields) if name.startswith("stores[]"))
    access = layout["stores"].shape.elem_shape["access"].shape
    return [*all_fields[:place], ("stores[].access", access), *all_fields[place:]]


def configuration_table(params: RDUParams) -> str:
    """Markdown: field, bits, values, meaning."""
    rows = ((name, shape, meaning(name)) for name, shape in shown(params))
    return table(rows) + f"\n\n{size(agcu_layout(params))}"


def status_words() -> str:
    """Markdown: word address and name of every status word; the causes of a fault."""
    causes = ", ".join(f"{cause.value} {cause.name}" for cause in Cause)
    return status_table(word.name for word in Status) + f"\n\nCauses: {causes}."


if __name__ == "__main__":
    print(configuration_table(TEST), status_words(), sep="\n\n")
