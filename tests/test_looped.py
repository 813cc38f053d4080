"""Programs in several rounds on the golden fabric; on RTL: ``tests/test_socket.py`` and the benches of the units."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from coe_mapping import ideal
from coe_mapping.assembler.agcu import AGCUProgram, Event
from coe_mapping.assembler.pcu import PCUProgram
from coe_mapping.bandwidth import predict
from coe_mapping.kernels.decoder import LayerShape, decoder_layer
from coe_mapping.kernels.dense import weight_stream
from coe_mapping.kernels.gemm import gemm_kernel
from coe_mapping.kernels.looped import in_rounds, looped
from coe_mapping.program import Port
from golden_model import numerics
from golden_model.fabric import FabricError
from hdl.errors import ParameterError
from hdl.params import DEMO, TEST
from hdl.rdn.config import Fabric

ROUNDS, ROWS, WIDTH = 3, 3, 8
AT = {"x": 0x1000, "weights": 0x8000}


def test_y_of_a_round_is_x_of_the_next_and_weights_are_its_own(rng: np.random.Generator) -> None:
    kernel = gemm_kernel(TEST, ROWS, WIDTH, WIDTH)
    steps = {binding.region.name: binding.region.bytes for binding in kernel.bindings}
    program, bindings = in_rounds(TEST.agcu, kernel.program, kernel.bindings, ROUNDS, steps, carried=("y", "x"))
    program.check(TEST)
    assert {b.region.name: b.region.bytes for b in bindings} == {n: ROUNDS * size for n, size in steps.items()}
    memory = {0: np.zeros(1 << 16, np.uint8)}
    x = np.zeros((steps["x"] // (2 * WIDTH), WIDTH), ml_dtypes.bfloat16)
    x[:ROWS] = rng.standard_normal((ROWS, WIDTH))
    weights = rng.standard_normal((ROUNDS, WIDTH, WIDTH)).astype(ml_dtypes.bfloat16)
    put(memory[0], AT["x"], x)
    for number, weight in enumerate(weights):
        put(memory[0], AT["weights"] + number * steps["weights"], weight_stream(weight.view(np.uint16), kernel.tiling))
    ideal.run(TEST, ideal.bind(program, bindings, {**AT, "y": AT["x"] + steps["x"]}), memory)
    expected = x
    for weight in weights:
        expected = np.asarray(numerics.to_bf16(numerics.gemm(expected, weight)))
    found = memory[0][AT["x"] + ROUNDS * steps["x"] :][: x.nbytes].view(np.uint16).reshape(x.shape)
    assert np.array_equal(found[:ROWS], numerics.to_bits(expected)[:ROWS])


def put(memory: np.ndarray, address: int, data: np.ndarray) -> None:
    content = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
    memory[address : address + len(content)] = content


def test_units_that_run_different_numbers_of_rounds_are_refused_and_named() -> None:
    kernel = gemm_kernel(TEST, ROWS, WIDTH, WIDTH)
    program, bindings = in_rounds(TEST.agcu, kernel.program, kernel.bindings, 2, {})
    pcu = next(name for name, unit in program.units.items() if isinstance(unit, PCUProgram))
    uneven = replace(program, units={**program.units, pcu: replace(program.units[pcu], rounds=3)})
    with pytest.raises(ParameterError, match="runs 2 rounds, others 3: give all units the same number"):
        uneven.check(TEST)
    bound = ideal.bind(uneven, bindings, {**AT, "y": 0x2000})
    with pytest.raises(FabricError, match=rf"runs 2 rounds and PCU {pcu} 3: give all units the same number"):
        ideal.run(TEST, bound, {0: np.zeros(1 << 16, np.uint8)})


def test_looping_costs_no_more_than_a_launch_a_layer_by_the_bandwidth_model() -> None:
    layer = decoder_layer(DEMO, LayerShape(64, 4, 2, 16, 128, 1e-5, rows=2, positions=16, batch=True))
    one = predict(DEMO, layer.program)
    all_layers = predict(DEMO, looped(layer, 4, layer.layout.steps).program)
    assert all_layers.cycles < 4 * one.cycles
    assert (all_layers.macs, all_layers.beats) == (4 * one.macs, 4 * one.beats)


def test_loads_that_share_an_input_are_refused_where_nothing_is_carried() -> None:
    layer = decoder_layer(DEMO, LayerShape(64, 4, 2, 16, 128, 1e-5, rows=2, positions=16, batch=True))
    with pytest.raises(ParameterError, match="may be a round ahead of them: name the region that is carried"):
        in_rounds(DEMO.agcu, layer.program, layer.bindings, 3, layer.layout.steps)
    in_rounds(DEMO.agcu, layer.program, layer.bindings, 1, layer.layout.steps)


def test_a_load_that_shares_an_input_with_others_waits_for_its_round() -> None:
    """Keys of the past and new ones fill one buffer: a round ahead, the past would be that of the next layer."""
    layer = decoder_layer(DEMO, LayerShape(64, 4, 2, 16, 128, 1e-5, rows=2, positions=16, batch=True))
    program = looped(layer, 3, layer.layout.steps).program
    sources: dict[Port, list[Port]] = {}
    for stream in program.streams:
        if stream.fabric is Fabric.VECTOR:
            for sink in stream.sinks:
                sources.setdefault(sink, []).append(stream.source)
    shared = {port for ports in sources.values() if len(ports) > 1 for port in ports}
    loads = [port for port in shared if isinstance(program.units[port.unit], AGCUProgram)]
    assert loads, "nothing shares an input: this shows nothing"
    for port in loads:
        unit = program.units[port.unit]
        assert isinstance(unit, AGCUProgram)
        assert {Event(port.index, 0), Event(port.index, 0, carried=True)} & set(unit.token_in)
