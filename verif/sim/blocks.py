"""Blocks of a design that are compiled once each, however many instances there are, and stepped once a cycle.

Each block is a verilated model of its own. In the design around it stands a module of the same name and ports that
hands the inputs to an instance of the model at every rising edge and shows its outputs from the falling edge on. What
looks at rising edges, or behind falling ones, sees the block itself, since no output of a block depends on an input
within a cycle (``tests/test_blocks.py`` shows it). Between the edges the models may run on other processors
(``steps.h``): ``OPENRDU_THREADS`` in the environment of the simulation says on how many, by default one.

A block with a net ``awake`` (:mod:`hdl.clock_gate`) is not stepped at all while that is low and its inputs stay as they
were: such a cycle changes nothing in it. Verilator's own hierarchical blocks settle an instance every time that an
input moves, several times a cycle, and know no rest.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from string import Template

from hdl.describe import Port
from hdl.verilog import Block, instances, whole
from verif.sim import tools, verilate
from verif.sim.cache import built

THREADS = "OPENRDU_THREADS"
"""Environment variable: how many processors step the blocks of a simulation."""

STEPS = Path(__file__).with_name("steps.h")

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
        return (self.around, *self.steps.values(), *([STEPS.read_text()] if self.steps else []))

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Writes the C++ into ``folder``, beside those of the models; returns the paths."""
        shutil.copy(STEPS, folder)
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
    sizes = _sizes(blocks)
    with ThreadPoolExecutor(2) as pool:  # the largest first, that none is left alone at the end
        builds = {
            name: pool.submit(_built, blocks, name, names, libraries, waves)
            for name in sorted(names, key=lambda name: -sizes[name])
        }
    homes = {name: builds[name].result() for name in names}
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


def _sizes(blocks: Mapping[str, Block]) -> dict[str, int]:
    """Characters of each block with every instance written out: about what a build of it takes."""
    inside = instances(blocks)

    @cache
    def size(name: str) -> int:
        return len(blocks[name].verilog) + sum(count * size(other) for other, count in inside[name].items())

    return {name: size(name) for name in blocks}


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
    return built(name, [source, control, *settings, *(path.read_text() for path in cells)], build)


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
    inputs, outputs = ([port for port in ports if port.is_input is way] for way in (True, False))
    formal = {
        way: ", ".join(["input chandle model", *(f"{p.direction} {_verilog_type(p)} {p.name}" for p in some)])
        for way, some in (("in", inputs), ("out", outputs))
    }
    values = ", ".join(["model", *(port.name for port in inputs)])
    results = ", ".join(["model", *(f"next_{port.name}" for port in outputs)])
    lines = [
        f"module {name}(clk, {', '.join(port.name for port in ports)});",
        "  input clk;",
        *(f"  {port.direction}{'' if port.is_input else ' reg'} [{port.width - 1}:0] {port.name};" for port in ports),
        *(f"  {_verilog_type(port)} next_{port.name};" for port in outputs),
        f'  import "DPI-C" function chandle {name}_new(input string path);',
        f'  import "DPI-C" function void {name}_free(input chandle model);',
        f'  import "DPI-C" function bit {name}_begin({formal["in"]});',
        f'  import "DPI-C" function bit {name}_finish({formal["out"]});',
        "  chandle model;",
        "  bit begun;",
        "  initial begin",
        f'    model = {name}_new($sformatf("%m"));',
        f"    if ({name}_finish({results})) begin",
        *(f"      {port.name} = next_{port.name}[{port.width - 1}:0];" for port in outputs),
        "    end",
        "  end",
        f"  final {name}_free(model);",
        f"  always @(posedge clk) begun <= {name}_begin({values});",
        "  always @(negedge clk)",
        f"    if (begun && {name}_finish({results})) begin",
        *(f"      {port.name} <= next_{port.name}[{port.width - 1}:0];" for port in outputs),
        "    end",
        "endmodule",
    ]
    return "\n".join(lines)


def step_source(block: Block, home: str) -> str:
    """The C++ behind the stand-in: a model in the folder ``home`` beside. Finished before it ever begins, it shows its
    outputs as they are at first."""
    ports = _ports(block)
    inputs, outputs = ([port for port in ports if port.is_input is way] for way in (True, False))
    formal = [
        ", ".join(["void* model", *(f"{_c_type(port)} {port.name}" for port in some)]) for some in (inputs, outputs)
    ]
    return _STEP.substitute(
        name=block.name,
        home=home,
        inputs=formal[0],
        outputs=formal[1],
        put="\n".join(f"    changed |= openrdu::put(m.top.{c_name(p.name)}, {p.name});" for p in inputs),
        get="\n".join(f"    openrdu::get(m.top.{c_name(p.name)}, {p.name});" for p in outputs),
    )


_STEP = Template(r"""// $name: the C++ between its stand-in and its model.
#include "../$home/V$name.h"
#include "verilated_syms.h"
#include "steps.h"
#include <string>

namespace {

struct Model final : openrdu::Block {
    std::shared_ptr<openrdu::Steps> steps = openrdu::Steps::here();
    V$name top;
    const CData* awake = nullptr;
    bool begun = false;
    explicit Model(const std::string& name) :  // scopes and messages have the path of the instance
        top{Verilated::threadContextp(), name.c_str()} {
        const VerilatedScope* scope = top.contextp()->scopeFind((name + ".$name").c_str());
        VerilatedVar* found = scope ? scope->varFind("awake") : nullptr;
        if (found) awake = static_cast<const CData*>(found->datap());
        top.eval();
    }
    void step() override {
        top.clk = 0;
        top.eval();
        asleep = awake && !*awake;
        if (asleep) return;
        top.clk = 1;
        top.eval();
    }
};

}  // namespace

extern "C" {

void* ${name}_new(const char* path) { return new Model(path); }

void ${name}_free(void* model) {
    static_cast<Model*>(model)->top.final();
    delete static_cast<Model*>(model);
}

// At a rising edge; whether a step comes of it.
svBit ${name}_begin($inputs) {
    Model& m = *static_cast<Model*>(model);
    bool changed = !m.begun;
$put
    if (m.asleep && !changed) return 0;
    m.begun = true;
    m.steps->begin(m);
    return 1;
}

// At the falling edge behind it; whether the outputs may have moved.
svBit ${name}_finish($outputs) {
    Model& m = *static_cast<Model*>(model);
    if (m.begun) m.steps->finish(m);
    if (m.asleep) return 0;
$get
    return 1;
}

}
""")
