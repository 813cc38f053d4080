"""Cycles of small kernels on the RTL of ``test``, which the bandwidth model is held against.

``python -m verif.kernel_cycles`` measures them; what is declared here is what it printed. A kernel's cycles are those
of the AGCU that is busy the longest, and those that EXECUTE and WAIT add.
"""

from collections.abc import Sequence

from coe_mapping.bandwidth import Timing, predict
from coe_mapping.compile import compile_program
from coe_mapping.device import Device
from coe_mapping.kernels.decoder import LayerShape
from coe_mapping.kernels.gemm import gemm_kernel
from coe_mapping.kernels.memory import Binding
from coe_mapping.kernels.unfused import UnfusedLayout
from coe_mapping.kernels.unfused.attention import scores, softmax, values
from coe_mapping.kernels.unfused.rows import append, gated_product, linear, norm
from coe_mapping.memory_plan import Need, plan
from coe_mapping.program import Program
from hdl.params import TEST
from verif import measure
from verif.machine import RTLMachine

GEMMS = {
    (1, 1, 1): 180,
    (1, 16, 16): 262,
    (1, 64, 16): 470,
    (1, 64, 64): 1242,
    (2, 64, 64): 1257,
    (8, 64, 64): 4329,
    (16, 128, 64): 16649,
    (5, 18, 33): 836,
}
"""(rows, k, n) of products, and cycles."""

DECODE = UnfusedLayout(TEST, LayerShape(64, 4, 2, 16, 96, 1e-5, rows=1, positions=32, batch=True))
PREFILL = UnfusedLayout(TEST, LayerShape(32, 4, 2, 8, 48, 1e-5, rows=8, positions=16))
LARGER = UnfusedLayout(TEST, LayerShape(48, 6, 2, 8, 80, 1e-5, rows=12, positions=24))
OPERATORS = {
    "norm, decode": (norm(DECODE, "attention_normed", "x", "attention_norm", (1, 1)), 293),
    "append, decode": (append(DECODE, "keys", "rotated_keys", (1, 2)), 170),
    "scores, decode": (scores(DECODE, (1, 2)), 607),
    "softmax, decode": (softmax(DECODE, (1, 1)), 392),
    "residual, decode": (
        linear(DECODE, "y", "down", "product", (1, 2), initial="after_attention", gathered=False),
        1008,
    ),
    "norm, prefill": (norm(PREFILL, "attention_normed", "x", "attention_norm", (2, 1)), 342),
    "append, prefill": (append(PREFILL, "keys", "rotated_keys", (1, 2)), 192),
    "scores, prefill": (scores(PREFILL, (1, 1)), 844),
    "softmax, prefill": (softmax(PREFILL, (1, 1)), 704),
    "values, prefill": (values(PREFILL, (1, 1)), 1320),
    "product, prefill": (gated_product(PREFILL, "product", (1, 1)), 271),
    "scores, larger": (scores(LARGER, (1, 1)), 2635),
    "softmax, larger": (softmax(LARGER, (1, 1)), 1848),
    "values, larger": (values(LARGER, (1, 1)), 3757),
    "product, larger": (gated_product(LARGER, "product", (2, 1)), 491),
}
"""Kernels of the unfused baseline, and cycles."""


def measured(machine: RTLMachine, program: Program, bindings: Sequence[Binding]) -> int:
    """Cycles of a kernel on memory full of zeros."""
    device = Device(machine, machine.params.memory.hbm.capacity - Device.SCRATCH)
    compiled = compile_program(machine.params, program, bindings)
    regions = [Need(region.name, region.bytes) for region in compiled.regions.values()]
    scratch = Need("scratch", Device.SCRATCH, address=device.scratch)
    memory = plan(machine.params, [*regions, Need("program", 1 << 16), scratch])
    loaded = device.store_program(compiled.bitstream, memory.addresses["program"])
    device.load(loaded)
    device.launch(loaded, compiled.at(memory.addresses))
    busy: int = measure.kernel(device, compiled, "unfused", "")["cycles"]
    timing = Timing()
    return busy + timing.start + timing.finish


def main() -> None:
    """Prints measured, declared and predicted cycles."""
    machine = RTLMachine(TEST)
    gemms = [(str(sizes), gemm_kernel(TEST, *sizes), cycles) for sizes, cycles in GEMMS.items()]
    kernels = [*((name, k.program, k.bindings, n) for name, k, n in gemms)]
    kernels += ((name, k.program, k.bindings, n) for name, (k, n) in OPERATORS.items())
    for name, program, bindings, declared in kernels:
        cycles = measured(machine, program, bindings)
        predicted = predict(TEST, program).cycles
        print(f"{name:<20}{cycles:>8}{declared:>8}{predicted:>8.0f}{predicted / cycles - 1:>+8.1%}", flush=True)


if __name__ == "__main__":
    main()
