"""Blocks of a design that are compiled once each, however many instances there are, and stepped once a cycle.

Each block is a verilated model of its own. In the design around it stands a module of the same name and ports that
hands the inputs to an instance of the model at every rising edge and takes its outputs, as registers would. That is the
block itself, since no output of a block depends on an input within a cycle (``tests/test_blocks.py`` shows it).

A block with a net ``awake`` (:mod:`hdl.clock_gate`) is not stepped at all while that is low and its inputs stay as they
were: such a cycle changes nothing in it. Verilator's own hierarchical blocks settle an instance every time that an
input moves, several times a cycle, and know no rest.
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template

from hdl.describe import Port
from hdl.verilog import Block, whole
from verif.sim import cache, tools, verilate

AWAKE = "awake"
"""Low in a cycle that changes nothing in the block."""


@dataclass(frozen=True)
class Split:
    """A design in two: the Verilog ``around`` its blocks, and of each block by name the C++ that steps its model."""

    around: str
    steps: Mapping[str, str] = field(default_factory=dict)
    archives: tuple[Path, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """What a build with it depends on."""
        return (self.around, *self.steps.values())

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Writes the C++ into ``folder``, beside those of the models; returns the paths."""
        paths = tuple(folder / f"{name}_step.cpp" for name in self.steps)
        for path, text in zip(paths, self.steps.values(), strict=True):
            path.write_text(text)
        return paths


def split(
    blocks: Mapping[str, Block], top: str, prefixes: Sequence[str], libraries: Sequence[Path], waves: bool
) -> Split:
    """Cuts out what is emitted once below ``top`` under one of the names ``prefixes``; compiles each.

    Args:
        blocks: of :func:`hdl.verilog.blocks`.
        libraries: what the design needs besides. Cells (``.v``) go to the blocks too; what simulates or
            watches (``.sv``, C++) stays around them.

    Raises:
        ToolError: a block could not be built.
    """
    names = named(blocks, top, prefixes)
    if not names:
        return Split(whole(blocks.values()))
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda name: _built(blocks, name, names, libraries, waves), names))
    homes = dict(zip(names, folders, strict=True))
    return Split(
        around(blocks, top, names),
        {name: step_source(blocks[name], folder.name) for name, folder in homes.items()},
        tuple(folder / f"V{name}__ALL.a" for name, folder in homes.items()),
    )


def named(blocks: Mapping[str, Block], top: str, prefixes: Sequence[str]) -> list[str]:
    """The names in ``blocks`` that are one of ``prefixes``, an underscore and a digest."""
    return sorted(name for name in blocks if name != top and name.rpartition("_")[0] in prefixes)


def around(blocks: Mapping[str, Block], top: str, cut: Sequence[str]) -> str:
    """The Verilog of ``top`` and what is below it, with stand-ins for the blocks of the names ``cut``."""
    kept: dict[str, Block] = {}
    pending = [top]
    while pending:
        block = blocks[pending.pop()]
        stands = block.name in cut and block.name != top
        kept[block.name] = replace(block, verilog=stand_in(block)) if stands else block
        pending += [] if stands else [use for use in block.uses if use not in kept]
    return whole(kept.values())


def _built(blocks: Mapping[str, Block], name: str, cut: Sequence[str], libraries: Sequence[Path], waves: bool) -> Path:
    """The folder of a block's model, compiled."""
    source = around(blocks, name, cut)
    sleeps = re.search(rf"^  wire {AWAKE};", blocks[name].verilog, re.MULTILINE) is not None
    control = verilate.control_file(name, [AWAKE] if sleeps else [], ports=False)
    cells = tuple(path for path in libraries if path.suffix == ".v")

    def build(folder: Path) -> None:
        (folder / f"{name}.v").write_text(source)
        verilate.archive(folder, name, control, cells, waves)

    settings = [*verilate.flags_of(waves), *tools.settings(waves)]
    return cache.built(name, [source, control, *settings, *(path.read_text() for path in cells)], build)


def c_name(port: str) -> str:
    """Verilator's spelling of a port."""
    return port.replace("__", "___05F")


def _ports(block: Block) -> list[Port]:
    """All but the clock."""
    return [Port("rst", 1, is_input=True), *(port for port in block.ports if port.width)]


def _verilog_type(port: Port) -> str:
    """Of an argument of a function."""
    if port.width > 64:
        return f"bit [{port.width - 1}:0]"
    return "int unsigned" if port.width <= 32 else "longint unsigned"


def _c_type(port: Port) -> str:
    """The same in C++."""
    if port.width > 64:
        return "const svBitVecVal*" if port.is_input else "svBitVecVal*"
    number = "unsigned int" if port.width <= 32 else "unsigned long long"
    return number if port.is_input else f"{number}*"


def stand_in(block: Block) -> str:
    """The module in whose place a compiled model is stepped."""
    name, ports = block.name, _ports(block)
    outputs = [port for port in ports if not port.is_input]
    arguments = ["chandle model", *(f"{port.direction} {_verilog_type(port)} {port.name}" for port in ports)]
    actual = ["model", *(port.name if port.is_input else f"next_{port.name}" for port in ports)]
    nothing = ["model", *("0" if port.is_input else f"next_{port.name}" for port in ports)]
    lines = [
        f"module {name}(clk, {', '.join(port.name for port in ports)});",
        "  input clk;",
        *(f"  {port.direction}{'' if port.is_input else ' reg'} [{port.width - 1}:0] {port.name};" for port in ports),
        *(f"  {_verilog_type(port)} next_{port.name};" for port in outputs),
        f'  import "DPI-C" function chandle {name}_new(input string path);',
        f'  import "DPI-C" function void {name}_free(input chandle model);',
        f'  import "DPI-C" function bit {name}_step(input {", ".join(arguments)});',
        "  chandle model;",
        "  initial begin",
        f'    model = {name}_new($sformatf("%m"));',
        f"    if ({name}_step({', '.join(nothing)})) begin",
        *(f"      {port.name} = next_{port.name}[{port.width - 1}:0];" for port in outputs),
        "    end",
        "  end",
        f"  final {name}_free(model);",
        "  always @(posedge clk)",
        f"    if ({name}_step({', '.join(actual)})) begin",
        *(f"      {port.name} <= next_{port.name}[{port.width - 1}:0];" for port in outputs),
        "    end",
        "endmodule",
    ]
    return "\n".join(lines)


def step_source(block: Block, home: str) -> str:
    """The C++ behind the stand-in: new, step and free of a model in the folder ``home`` beside. The first step only
    shows the outputs as they are at first."""
    ports = _ports(block)
    return _STEP.substitute(
        name=block.name,
        home=home,
        formal=", ".join(["void* model", *(f"{_c_type(port)} {port.name}" for port in ports)]),
        put="\n".join(f"    changed |= put(b.top.{c_name(p.name)}, {p.name});" for p in ports if p.is_input),
        get="\n".join(f"    get(b.top.{c_name(p.name)}, {p.name});" for p in ports if not p.is_input),
    )


_STEP = Template(r"""// Steps of $name: the C++ between its stand-in and its model.
#include "../$home/V$name.h"
#include "verilated_syms.h"
#include "svdpi.h"
#include <cstring>
#include <string>

namespace {

struct Block {
    V$name top;
    const CData* awake = nullptr;
    bool begun = false;
    bool asleep = false;
    explicit Block(const std::string& name) :  // scopes and messages have the path of the instance
        top{Verilated::threadContextp(), name.c_str()} {
        const VerilatedScope* scope = top.contextp()->scopeFind((name + ".$name").c_str());
        VerilatedVar* found = scope ? scope->varFind("awake") : nullptr;
        if (found) awake = static_cast<const CData*>(found->datap());
    }
};

template <class Port, class Value>
bool put(Port& port, Value value) {
    if (port == value) return false;
    port = static_cast<Port>(value);
    return true;
}

template <std::size_t N>
bool put(VlWide<N>& port, const svBitVecVal* value) {
    if (!std::memcmp(port.data(), value, 4 * N)) return false;
    std::memcpy(port.data(), value, 4 * N);
    return true;
}

template <class Port, class Value>
void get(const Port& port, Value* value) {
    *value = port;
}

template <std::size_t N>
void get(const VlWide<N>& port, svBitVecVal* value) {
    std::memcpy(value, port.data(), 4 * N);
}

}  // namespace

extern "C" {

void* ${name}_new(const char* path) { return new Block(path); }

void ${name}_free(void* model) {
    static_cast<Block*>(model)->top.final();
    delete static_cast<Block*>(model);
}

// A cycle, up to and with its rising edge; whether the outputs may have moved. The first call shows their first values.
svBit ${name}_step($formal) {
    Block& b = *static_cast<Block*>(model);
    bool changed = false;
$put
    if (b.begun && b.asleep && !changed) return 0;
    b.top.clk = 0;
    b.top.eval();
    if (b.begun) {
        b.asleep = b.awake && !*b.awake;
        if (b.asleep) return 0;
        b.top.clk = 1;
        b.top.eval();
    }
    b.begun = true;
$get
    return 1;
}

}
""")
