"""How long it takes to map a layer, and what that makes of a machine: the mapping layer's part of ``make bench``.

The layers are those of SmolLM2-135M and of the model of ``make sim``, on a ``demo`` socket. What the bandwidth model
predicts is printed as a prediction; it is no figure, which only the RTL gives. The loss in the network is one of the
model: there is no RTL without it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from coe_mapping.bandwidth import Prediction, Timing, predict
from coe_mapping.bitstream import encode
from coe_mapping.compile import Compiled, compile_program
from coe_mapping.kernels.decoder import Kernel, LayerShape, decoder_layer
from coe_mapping.kernels.spread import spread
from hdl.floorplan import Kind, floorplan
from hdl.params import DEMO
from hdl.unit_map import unit_map
from verif import figures
from verif.measure import macs_per_cycle, multiplying, units_used

SMOLLM2, SMALL = (576, 9, 3, 64, 1536, 1e-5), (64, 4, 2, 16, 128, 1e-5)
"""Hidden, heads, key heads, head, inner, epsilon."""
DECODE, PREFILL = "SmolLM2, decode of 1", "SmolLM2, prefill of 64"
LAYERS = {
    DECODE: LayerShape(*SMOLLM2, rows=1, positions=64, batch=True),
    PREFILL: LayerShape(*SMOLLM2, rows=64, positions=64),
    "small model, decode of 2": LayerShape(*SMALL, rows=2, positions=16, batch=True),
    "small model, prefill of 8": LayerShape(*SMALL, rows=8, positions=16),
}
JOINED = replace(Timing(), reach=-1.0)
"""An ideal network: every output joined to its inputs by wires."""


@dataclass(frozen=True)
class Found:
    """A number that is no speed; ``how`` it was found."""

    what: str
    value: str
    how: str


@dataclass(frozen=True)
class Mapped:
    """A layer on a place, the seconds that took, and what the bandwidth model says of it."""

    kernel: Kernel
    compiled: Compiled
    seconds: float
    predicted: Prediction
    joined: Prediction

    @property
    def share(self) -> float:
        """Of PCUs or of PMUs, whichever is used less."""
        used, machine = units_used(self.compiled), floorplan(DEMO)
        return min(used[kind.name.lower()] / len(machine.of(kind)) for kind in (Kind.PCU, Kind.PMU))

    @property
    def loss(self) -> float:
        """Of cycles, to the network."""
        return self.predicted.cycles / self.joined.cycles - 1


def mapped(shape: LayerShape) -> Mapped:
    """Shares out, builds, places, routes and assembles a layer."""
    spread.cache_clear()
    start = time.perf_counter()
    kernel = decoder_layer(DEMO, shape)
    compiled = compile_program(DEMO, kernel.program, kernel.bindings)
    encode(unit_map(DEMO), compiled.bitstream)
    seconds = time.perf_counter() - start
    routed = predict(DEMO, kernel.program, routes=compiled.routes)
    return Mapped(kernel, compiled, seconds, routed, predict(DEMO, kernel.program, timing=JOINED))


def mapping() -> Iterator[Found]:
    """Records what is measured, and prints what is predicted beside it."""
    layers = {name: mapped(shape) for name, shape in LAYERS.items()}
    figures.record("map_demo_layer_s", round(max(layer.seconds for layer in layers.values()), 2))
    figures.record("network_loss", round(max(layer.loss for layer in layers.values()), 4))
    figures.record("units_used_share", round(layers[PREFILL].share, 3))
    for name, layer in layers.items():
        yield Found(f"{name}: mapped", f"{layer.seconds:.2f} s", "wall clock: shared out, placed, routed, assembled")
        yield Found(f"{name}: PCUs and PMUs in use", f"{layer.share:.0%}", f"the fewer of {units_used(layer.compiled)}")
        cycles = f"{layer.predicted.cycles:,.0f} cycles, bound by {layer.predicted.binding}"
        yield Found(f"{name}: predicted", cycles, "bandwidth model, routed")
        yield Found(
            f"{name}: lost to the network", f"{layer.loss:.2%}", "bandwidth model, routed against joined by wires"
        )
    decode, prefill = layers[DECODE], layers[PREFILL]
    share = decode.predicted.ideal / decode.predicted.cycles
    yield Found("decode_hbm_utilisation_smollm2", f"{share:.0%}", "predicted, not the figure")
    peak = prefill.predicted.macs / macs_per_cycle(DEMO) / prefill.predicted.cycles
    yield Found("prefill_peak_utilisation", f"{peak:.0%}", "predicted, not the figure")
    count = multiplying(prefill.compiled)
    own = peak * len(floorplan(DEMO).of(Kind.PCU)) / count
    how = f"predicted, not the figure; {count} PCUs multiply"
    yield Found("prefill_gemm_pcu_utilisation", f"{own:.0%}", how)
