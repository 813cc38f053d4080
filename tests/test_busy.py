"""The kernel that speeds are measured with does what it says."""

from dataclasses import replace

import numpy as np
import pytest
from ml_dtypes import bfloat16

from coe_mapping.compile import compile_program
from coe_mapping.device import Device, GoldenMachine
from coe_mapping.kernels.dense import weight_stream
from hdl.errors import ParameterError
from hdl.floorplan import Kind, floorplan
from hdl.params import NANO, TEST, RDUParams
from verif.busy import DEPTH, busy_kernel

WIDE = replace(TEST, name="wide", columns=3)


@pytest.mark.parametrize(("params", "chains"), [(TEST, (1, 1, 1, 1)), (WIDE, (2, 2, 1, 1))])
def test_every_pcu_of_a_socket_multiplies_and_every_chain_leaves_its_sum(
    params: RDUParams, chains: tuple[int, ...], rng: np.random.Generator
) -> None:
    kernel = busy_kernel(params, blocks=3)
    compiled = compile_program(params, kernel.program, kernel.bindings)
    assert kernel.chains == chains
    assert sum(place.kind is Kind.PCU for place in compiled.placed.placement.values()) == len(
        floorplan(params).of(Kind.PCU)
    )
    device = Device(GoldenMachine(params), 0x80000)
    x = rng.standard_normal((len(chains), params.pcu.stages, DEPTH)).astype(bfloat16)
    weights = rng.standard_normal((len(chains), DEPTH, kernel.tiling.width)).astype(bfloat16)
    addresses = {name: 0x1000 * (i + 1) for i, name in enumerate(compiled.regions)}
    for c in range(len(chains)):
        device.write(addresses[f"x{c}"], x[c].view(np.uint8))
        device.write(addresses[f"weights{c}"], weight_stream(weights[c].view(np.uint16), kernel.tiling).view(np.uint8))
    program = device.store_program(compiled.bitstream, 0xC0000)
    device.load(program)
    device.launch(program, compiled.at(addresses))
    for c, length in enumerate(chains):
        y = device.read(addresses[f"y{c}"], compiled.regions[f"y{c}"].bytes).view(bfloat16)
        expected = length * (x[c].astype(np.float64) @ weights[c].astype(np.float64))
        error = np.abs(y.reshape(expected.shape).astype(np.float64) - expected)
        assert error.max() <= 2**-8 * np.abs(expected).max()


def test_a_machine_whose_agcus_have_one_load_is_refused() -> None:
    with pytest.raises(ParameterError, match="nano: a chain takes two loads, an AGCU has 1"):
        busy_kernel(NANO, blocks=1)
