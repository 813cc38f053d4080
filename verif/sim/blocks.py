"""Blocks of a design that are compiled once each, however many instances there are, and stepped once a cycle.

Each block is a verilated model of its own. In the design around it stands a module of the same name and ports that
hands the inputs to an instance of the model at every rising edge and takes its outputs, as registers would. That is the
block itself, since no output of a block depends on an input within a cycle (``tests/test_verilog.py`` shows it).

A block with a net ``awake`` (:mod:`hdl.clock_gate`) is not stepped at all while that is low and its inputs stay as they
were: such a cycle changes nothing in it. Verilator's own hierarchical blocks settle an instance every time that an
input moves, several times a cycle, and know no rest.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from verif.sim import cache, tools, verilate

AWAKE = "awake"
"""Low in a cycle that changes nothing in the block."""

_MODULE = re.compile(r"^module ([^\s(]+) ?\(.*?^endmodule", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"^  (input|output)(?: reg)? (?:\[(\d+):0\] )?(\S+) ?;", re.MULTILINE)
_INSTANCE = re.compile(r"^  ([^\s(]+) +[^\s(]+ +\($", re.MULTILINE)


@dataclass(frozen=True)
class Port:
    """One port of a block; ``width`` counts bits."""

    name: str
    width: int
    is_input: bool

    @property
    def verilog(self) -> str:
        """Its type as an argument of a function."""
        if self.width > 64:
            return f"bit [{self.width - 1}:0]"
        return "int unsigned" if self.width <= 32 else "longint unsigned"

    @property
    def c(self) -> str:
        """The same in C++."""
        if self.width > 64:
            return "const svBitVecVal*" if self.is_input else "svBitVecVal*"
        number = "unsigned int" if self.width <= 32 else "unsigned long long"
        return number if self.is_input else f"{number}*"


@dataclass(frozen=True)
class Module:
    """A module of the emitted Verilog and the modules it instantiates."""

    name: str
    text: str
    uses: tuple[str, ...]

    @property
    def ports(self) -> tuple[Port, ...]:
        """All but the clock."""
        found = (Port(name, int(high or 0) + 1, way == "input") for way, high, name in _PORT.findall(self.text))
        return tuple(port for port in found if port.name != "clk")

    @property
    def sleeps(self) -> bool:
        return re.search(rf"^  wire {AWAKE};", self.text, re.MULTILINE) is not None


def modules_of(source: str) -> dict[str, Module]:
    """The modules of Verilog that :mod:`hdl.verilog` wrote."""
    texts = {found[1]: found[0] for found in _MODULE.finditer(source)}
    return {
        name: Module(name, text, tuple(dict.fromkeys(use for use in _INSTANCE.findall(text) if use in texts)))
        for name, text in texts.items()
    }


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


def split(source: str, top: str, prefixes: Sequence[str], libraries: Sequence[Path], waves: bool) -> Split:
    """Cuts out the modules below ``top`` whose names are one of ``prefixes``, an underscore and more; compiles each.

    Args:
        libraries: what the design needs besides ``source``. Cells (``.v``) go to the blocks too; what simulates or
            watches (``.sv``, C++) stays around them.

    Raises:
        ToolError: a block could not be built.
    """
    modules = modules_of(source)
    names = [name for name in modules if name != top and name.rpartition("_")[0] in prefixes]
    if not names:
        return Split(source)
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda name: _built(modules, name, names, libraries, waves), names))
    homes = dict(zip(names, folders, strict=True))
    return Split(
        _closure(modules, top, names),
        {name: step_source(modules[name], folder.name) for name, folder in homes.items()},
        tuple(folder / f"V{name}__ALL.a" for name, folder in homes.items()),
    )


def _closure(modules: Mapping[str, Module], top: str, blocks: Iterable[str]) -> str:
    """``top`` and what is below it, with stand-ins for the blocks."""
    texts: dict[str, str] = {}
    pending = [top]
    while pending:
        module = modules[pending.pop()]
        stands = module.name in blocks and module.name != top
        texts[module.name] = stand_in(module) if stands else module.text
        pending += [] if stands else [use for use in module.uses if use not in texts]
    return "\n".join(texts[name] for name in sorted(texts)) + "\n"


def _built(
    modules: Mapping[str, Module], name: str, blocks: Sequence[str], libraries: Sequence[Path], waves: bool
) -> Path:
    """The folder of a block's model, compiled."""
    source = _closure(modules, name, blocks)
    control = verilate.control_file(name, [AWAKE] if modules[name].sleeps else [], ports=False)
    cells = tuple(path for path in libraries if path.suffix == ".v")

    def build(folder: Path) -> None:
        (folder / f"{name}.v").write_text(source)
        verilate.archive(folder, name, control, cells, waves)

    settings = [*verilate.flags_of(waves), *tools.versions(), *tools.make_variables(waves)]
    texts = [path.read_text() for path in cells]
    return cache.built(name, [source, control, *settings, *texts], build)


def c_name(port: str) -> str:
    """Verilator's spelling of a port."""
    return port.replace("__", "___05F")


def stand_in(module: Module) -> str:
    """The module in whose place a compiled model is stepped."""
    ports = module.ports
    outputs = [port for port in ports if not port.is_input]
    arguments = ["chandle model", *(f"{_way(port)} {port.verilog} {port.name}" for port in ports)]
    actual = ["model", *(port.name if port.is_input else f"next_{port.name}" for port in ports)]
    nothing = ["model", *("0" if port.is_input else f"next_{port.name}" for port in ports)]
    lines = [
        f"module {module.name}(clk, {', '.join(port.name for port in ports)});",
        "  input clk;",
        *(f"  {_way(port)}{'' if port.is_input else ' reg'} [{port.width - 1}:0] {port.name};" for port in ports),
        *(f"  {port.verilog} next_{port.name};" for port in outputs),
        f'  import "DPI-C" function chandle {module.name}_new(input string path);',
        f'  import "DPI-C" function void {module.name}_free(input chandle model);',
        f'  import "DPI-C" function bit {module.name}_step(input {", ".join(arguments)});',
        "  chandle model;",
        "  initial begin",
        f'    model = {module.name}_new($sformatf("%m"));',
        f"    if ({module.name}_step({', '.join(nothing)})) begin",
        *(f"      {port.name} = next_{port.name}[{port.width - 1}:0];" for port in outputs),
        "    end",
        "  end",
        f"  final {module.name}_free(model);",
        "  always @(posedge clk)",
        f"    if ({module.name}_step({', '.join(actual)})) begin",
        *(f"      {port.name} <= next_{port.name}[{port.width - 1}:0];" for port in outputs),
        "    end",
        "endmodule",
    ]
    return "\n".join(lines)


def _way(port: Port) -> str:
    return "input" if port.is_input else "output"


def step_source(module: Module, home: str) -> str:
    """The C++ behind the stand-in: new, step and free of a model in the folder ``home`` beside. The first step only
    shows the outputs as they are at first."""
    ports = module.ports
    formal = ", ".join(["void* model", *(f"{port.c} {port.name}" for port in ports)])
    return _STEP.substitute(
        name=module.name,
        home=home,
        formal=formal,
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
