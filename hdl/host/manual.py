"""The tables of ``docs/launch.md``, ``docs/bitstream.md`` and all of ``docs/registers.md``, from the descriptions.

``python -m hdl.host.manual`` prints the tables, ``python -m hdl.host.manual registers`` the register manual.
"""

import sys

from amaranth.lib import data

from hdl.host.errors import SENTENCES
from hdl.host.format import COMMANDS, HEADER, RECORD, Opcode
from hdl.host.registers import OFFSETS, REGISTERS

HEADER_MEANINGS = {
    "magic": "`ORDU`, 0x5544524f",
    "version": "of this format: 1",
    "parameters": "start of the SHA-256 of all hardware parameters",
    "words": "of everything, header and checksum included, padding not",
    "tiles": "set of tiles, bit t for tile t",
    "records": "number of records",
    "reserved": "zero",
    "hbm_bytes": "memory that a machine must have",
    "ddr_bytes": "likewise",
}
RECORD_MEANINGS = {
    "unit": "number of the unit; after the units come the tiles, see above",
    "first": "word address: configuration below 128, status from there up",
    "count": "words that follow, at least 1",
}
COMMAND_MEANINGS = {
    Opcode.NOP: "nothing",
    Opcode.LOAD: "check the bitstream at `address`, then write it into the shadow configuration of its tiles",
    Opcode.ARGUMENTS: "check the records in the `count` words at `address`, then write them into the shadow",
    Opcode.EXECUTE: "shadow becomes active in `tiles`, with `keep` in exchange for what was active, and the units that "
    "take part start; does not wait",
    Opcode.WAIT: "until no tile of `tiles` is running",
    Opcode.DMA: "hand `descriptor` to the tier DMA; does not wait",
    Opcode.WAIT_DMA: "until the tier DMA has finished every descriptor",
    Opcode.UNLOAD: "write shadow configuration and status of `tiles` to `address` as a bitstream",
    Opcode.SIGNAL: "`value` into the register SIGNAL, and the interrupt",
    Opcode.JUMP: "to command `target` of the list, `times` times; then on, and the counter is zero again",
    Opcode.HALT: "the list ends here",
    Opcode.LIST: "run the `count` commands at `address`; from the host only",
}


def _fields(layout: data.StructLayout, path: str = "") -> list[tuple[str, int, int]]:
    """(name, first bit, bits) of every named field, nested ones by path."""
    found: list[tuple[str, int, int]] = []
    for name, field in layout:
        if isinstance(field.shape, data.StructLayout):
            inner = _fields(field.shape, f"{path}{name}.")
            found += [(n, field.offset + offset, width) for n, offset, width in inner]
        elif name != "_":
            found.append((f"{path}{name}", field.offset, field.width))
    return found


def header_table() -> str:
    """Markdown: where, field, meaning."""
    lines = ["| word | field | meaning |", "|---|---|---|"]
    for name, offset, width in _fields(HEADER):
        first, last = offset // 32, (offset + width - 1) // 32
        where = f"{first}" if first == last else f"{first}, {last}"
        lines.append(f"| {where} | `{name}` | {HEADER_MEANINGS[name]} |")
    return "\n".join(lines)


def record_table() -> str:
    """Markdown: bits, field, meaning."""
    lines = ["| bits | field | meaning |", "|---|---|---|"]
    for name, offset, width in _fields(RECORD):
        lines.append(f"| {offset} .. {offset + width - 1} | `{name}` | {RECORD_MEANINGS[name]} |")
    return "\n".join(lines)


def command_table() -> str:
    """Markdown: opcode, name, fields with their bits, what it does."""
    lines = ["| opcode | command | fields (first bit, bits) | does |", "|---|---|---|---|"]
    for opcode, layout in COMMANDS.items():
        fields = [f"`{name}` ({offset}, {width})" for name, offset, width in _fields(layout) if name != "opcode"]
        lines.append(f"| {opcode.value} | {opcode.name} | {', '.join(fields)} | {COMMAND_MEANINGS[opcode]} |")
    return "\n".join(lines)


def error_table() -> str:
    """Markdown: code, name, the driver's sentence."""
    lines = ["| code | name | what the driver says |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {code.value} | {code.name} | {text} |" for code, text in SENTENCES.items())])


def registers() -> str:
    """Markdown: the manual of the host registers."""
    lines = [
        "# Host registers",
        "",
        "AXI4-Lite, 32 bits. Made from `hdl/host/registers.py`, as are the hardware and the driver "
        "(`coe_mapping/registers.py`):",
        "`python -m hdl.host.manual registers > docs/registers.md`.",
        "",
        "A write of part of a word, and an access that is not in the table, is answered with SLVERR and does nothing.",
        "",
        "| offset | register | access | fields (bits) | |",
        "|---|---|---|---|---|",
    ]
    for register in REGISTERS:
        position, fields = 0, []
        for name, (bits, doc) in register.fields.items():
            span = f"{position}" if bits == 1 else f"{position} .. {position + bits - 1}"
            if len(register.fields) > 1 or doc:
                fields.append(f"`{name}` ({span}){': ' if doc else ''}{doc}")
            position += bits
        where = f"{OFFSETS[register.name]:#04x}"
        lines.append(f"| {where} | {register.name} | {register.access.value} | {'; '.join(fields)} | {register.doc} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["registers"]:
        print(registers(), end="")
    else:
        print(header_table(), record_table(), command_table(), error_table(), sep="\n\n")
