"""The tables of ``docs/pmu.md``, made from the layouts: ``python -m hdl.pmu.manual`` prints them."""

from hdl.manual import fields, size, status_table, table
from hdl.params import TEST, PMUParams
from hdl.pmu.config import Status, pmu_layout

MEANINGS = {
    "write": "the write pipeline: the same fields as `read`",
    "read.enable": "the pipeline takes part in the program",
    "read.chain.depth": "counters in use; counter 0 is the outermost loop",
    "read.chain.counters[].limit": "iterations of the loop",
    "read.chain.counters[].stride": "its value is position times this",
    "read.chain.counters[].source": "0: `limit`; j + 1: the limit is popped from scalar input j on entering the loop",
    "read.chain.rounds": "how often all of it runs; 0 counts as 1",
    "read.registers[].constant": "a register starts an iteration as this",
    "read.registers[].counters": "... plus the values of the counters in this mask",
    "read.registers[].addend": "... plus one of these",
    "read.address": "register that holds the element address within the region",
    "read.tile_row.enable": "diagonal striping: the tile is skewed by one bank a row",
    "read.tile_row.register": "register that holds the tile row (of lane 0, in a column)",
    "read.limit.enable": "partial vectors",
    "read.limit.register": "register that holds the number of lanes, signed: below 0 none, above `lanes` all",
    "read.range.enable": "accesses with an address outside [`low`, `high`) are dropped, others made relative to `low`",
    "read.range.low": "unsigned",
    "read.range.high": "unsigned",
    "read.bit.enable": "accesses with a clear predicate bit are dropped",
    "read.bit.register": "register that holds the bit",
    "read.bit.position": "which of its bits",
    "read.sequence.enable": "results carry a sequence id (read side only)",
    "read.sequence.register": "register whose low 16 bits are the id",
    "read.mode": "what an access touches",
    "read.pitch": "bank rows from a tile row to the next (COLUMN)",
    "read.region.base": "first bank row of the region, or of the ring of buffers",
    "read.region.rows": "bank rows of the region, or of each buffer; a lane outside is refused and flagged",
    "read.buffer.enable": "accesses go to the buffer in turn",
    "read.buffer.boundary": "where buffers change hands",
    "read.convert": "write: FP32 to BF16, two beats a vector; read: BF16 to FP32",
    "read.permute[]": "the element that a lane takes",
    "split": "ALU stages of the write pipeline; the others belong to the read pipeline",
    "alu[].op": "operation",
    "alu[].a": "register of the first operand",
    "alu[].b": "register of the second operand",
    "alu[].b_constant": "the second operand is `constant` instead",
    "alu[].c": "register whose bit 0 is the condition of SELECT",
    "alu[].destination": "register that takes the result",
    "alu[].constant": "constant operand; multiplier of MULTIPLY, MULTIPLY_SUBTRACT; reciprocal of DIVIDE",
    "alu[].shift": "of EXTRACT, SHIFT_SET, DIVIDE",
    "alu[].width": "of EXTRACT",
    "alu[].increment": "DIVIDE adds `constant` to the product",
    "bank_shift": "lowest bit of the bank-row address that picks the sub-array",
    "buffers": "buffers in the ring",
    "scalar_in[].side": "pipeline that takes the input as an operand",
    "scalar_in[].boundary": "its head is popped after the last iteration of this",
    "scalar_out[].side": "pipeline that sends",
    "scalar_out[].boundary": "in the last iteration of this",
    "scalar_out[].register": "the register sent, as it is after the last ALU stage",
    "token_in[].side": "pipeline that waits for a token",
    "token_in[].boundary": "before the first access of this",
    "token_out[].side": "pipeline that sends a token",
    "token_out[].boundary": "after the last access of this",
}


def configuration_table(params: PMUParams) -> str:
    """Markdown: field, bits, values, meaning; the write pipeline, which has the fields of the other, in one line."""
    layout = pmu_layout(params)
    rows = [(name, shape, MEANINGS[name]) for name, shape in fields(layout) if not name.startswith("write.")]
    return table([("write", layout["write"].shape, MEANINGS["write"]), *rows]) + f"\n\n{size(layout)}"


def status_words() -> str:
    """Markdown: word address and name of every status word."""
    return status_table(word.name for word in Status)


if __name__ == "__main__":
    print(configuration_table(TEST.pmu), status_words(), sep="\n\n")
