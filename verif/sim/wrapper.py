"""The C++ file between PyVerilator and a verilated model.

PyVerilator 0.7.0 generates this file itself, but its text no longer compiles with Verilator 5 and always traces. This
one has the same entry points, so ``PyVerilator(shared_object)`` works unchanged, and adds: a context per model (a
second model in one process aborts otherwise), loops that stay in C++, any public signal by address, waves only on
request.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_DECLARATION = re.compile(r"VL_(?P<direction>IN|OUT)(?:8|16|64|W)?\(&?(?P<name>\w+),(?P<high>\d+),(?P<low>\d+)")


@dataclass(frozen=True)
class Port:
    """One port of the top module; ``c_name`` is Verilator's spelling of ``name``, ``width`` counts bits."""

    name: str
    c_name: str
    width: int
    is_input: bool

    @property
    def c_type(self) -> str:
        return "uint32_t" if self.width <= 32 else "uint64_t"


def read_ports(header: Path) -> list[Port]:
    """The ports that ``Vtop.h`` declares."""
    found = _DECLARATION.finditer(header.read_text())
    return [
        Port(_decoded(f["name"]), f["name"], int(f["high"]) - int(f["low"]) + 1, f["direction"] == "IN") for f in found
    ]


def _decoded(c_name: str) -> str:
    """Undoes Verilator's escapes: ``i___05Fvalid`` is ``i__valid``, ``__SYM__double`` is ``double``."""
    return re.sub(r"__0([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), c_name.removeprefix("__SYM__"))


def text(top: str, ports: Sequence[Port]) -> str:
    """The C++ source for module ``top``."""
    names = {p.name for p in ports}
    inputs = [p for p in ports if p.is_input]
    outputs = [p for p in ports if not p.is_input]
    return "\n".join(
        [
            "#define HAS_CLK 1" if "clk" in names else "",
            "#define IS_UNIT 1" if {"clk", "en", "i", "o"} <= names else "",
            _SUPPORT,
            f'const char* _pyverilator_module_name = "{top}";',
            'const char* _pyverilator_json_data = "null";',
            _table("inputs", "input_widths", inputs),
            _table("outputs", "output_widths", outputs),
            _table("internal_signals", "internal_signal_widths", []),
            *(_getter(p) for p in ports),
            *(_setter(p) for p in inputs),
            "}",
            "",
        ]
    )


def _table(names: str, widths: str, ports: Sequence[Port]) -> str:
    quoted = ", ".join(f'"{p.c_name}"' for p in ports) or "nullptr"
    sizes = ", ".join(str(p.width) for p in ports) or "0"
    return (
        f"uint32_t _pyverilator_num_{names} = {len(ports)};\n"
        f"const char* _pyverilator_{names}[] = {{{quoted}}};\n"
        f"uint32_t _pyverilator_{widths}[] = {{{sizes}}};"
    )


def _getter(p: Port) -> str:
    if p.width > 64:
        return f"uint32_t get_{p.c_name}(Simulation* s, int word) {{ return s->top.{p.c_name}[word]; }}"
    return f"{p.c_type} get_{p.c_name}(Simulation* s) {{ return s->top.{p.c_name}; }}"


def _setter(p: Port) -> str:
    if p.width > 64:
        return f"void set_{p.c_name}(Simulation* s, int word, uint64_t value) {{ s->top.{p.c_name}[word] = value; }}"
    return f"void set_{p.c_name}(Simulation* s, {p.c_type} value) {{ s->top.{p.c_name} = value; }}"


_SUPPORT = r"""
#include "Vtop.h"
#include "verilated.h"
#include "verilated_syms.h"
#include <cstdint>
#include <cstring>
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif VM_TRACE
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#else
struct Trace {};
#endif

// The context is a member, so models in one process share nothing. Verilator's library also has a current context for
// the thread, which its destructors use: left at that of a model that is gone, the next destructor locks up.
struct Simulation {
    VerilatedContext context;
    Trace* trace = nullptr;
    Vtop top;
    Simulation() : top{prepared(context)} { eval(); }  // else the first rising edge is taken for the initial state
    ~Simulation() {
        enter();
        top.final();
    }
    Simulation* enter() {
        Verilated::threadContextp(&context);
        return this;
    }
    void eval() {
        top.eval();
        context.timeInc(1);
#if VM_TRACE
        if (trace) trace->dump(context.time());
#endif
    }
    void tick() {
#ifdef HAS_CLK
        top.clk = 1; eval();
        top.clk = 0; eval();
#endif
    }
private:
    static VerilatedContext* prepared(VerilatedContext& c) {
        c.threads(1);  // else every model starts a pool of threads it never uses
#if VM_TRACE
        c.traceEverOn(true);
#endif
        return &c;
    }
};

using FinishCallback = void (*)(const char*, int, const char*);

extern "C" {
Simulation* construct() { return new Simulation; }
int destruct(Simulation* s) { delete s; return 0; }
int eval(Simulation* s) { s->enter()->eval(); return 0; }
void set_command_args(int, char**) {}                  // called before construct: there is no context yet
bool get_finished() { return Verilated::threadContextp()->gotFinish(); }
void set_finished(bool value) { Verilated::threadContextp()->gotFinish(value); }
void set_vl_finish_callback(FinishCallback) {}         // our designs never call $finish

Trace* start_vcd_trace(Simulation* s, const char* path) {
#if VM_TRACE
    s->enter()->trace = new Trace;
    s->top.trace(s->trace, 99);
    s->trace->open(path);
#endif
    return s->trace;
}
int add_to_vcd_trace(Trace*, int) { return 0; }        // Simulation::eval dumps, on the model's own time
int flush_vcd_trace(Trace* t) {
#if VM_TRACE
    t->flush();
#endif
    return 0;
}
int stop_vcd_trace(Trace* t) {
#if VM_TRACE
    t->close();
#endif
    return 0;
}

void openrdu_ticks(Simulation* s, uint64_t cycles) {
    s->enter()->eval();  // what was driven since the last edge settles first: a clock gate looks at it before the edge
    for (; cycles; --cycles) s->tick();
}

// Address of a public signal or memory; shape = {bytes per element, elements}. Null if there is none.
void* openrdu_signal(Simulation* s, const char* scope_name, const char* name, uint32_t* shape) {
    const VerilatedScope* scope = s->context.scopeFind(scope_name);
    VerilatedVar* variable = scope ? scope->varFind(name) : nullptr;
    if (!variable) return nullptr;
    shape[0] = variable->entSize();
    shape[1] = variable->totalSize() / variable->entSize();
    return variable->datap();
}

#ifdef IS_UNIT
// One operand an enabled cycle through a pipeline of `latency` cycles; rows of in and out are `row_in` and `row_out`
// bytes, the port in their low bytes. Before operand k the unit is held for gaps[k] cycles with junk on its input.
void openrdu_stream(Simulation* s, const char* in, char* out, const uint32_t* gaps, uint64_t count,
                    uint64_t row_in, uint64_t row_out, uint64_t latency) {
    Vtop& top = s->enter()->top;
    const uint64_t edges = count ? count + latency - 1 : 0;
    for (uint64_t edge = 0; edge < edges; ++edge) {
        if (gaps && edge < count && gaps[edge]) {
            top.en = 0;
            std::memcpy(&top.i, in + (count - 1 - edge) * row_in, sizeof(top.i));
            for (uint32_t k = gaps[edge]; k; --k) s->tick();
        }
        top.en = 1;
        if (edge < count) std::memcpy(&top.i, in + edge * row_in, sizeof(top.i));
        s->tick();
        if (edge + 1 >= latency) std::memcpy(out + (edge + 1 - latency) * row_out, &top.o, sizeof(top.o));
    }
}
#endif
"""
