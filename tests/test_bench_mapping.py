"""What ``make bench ONLY=mapping`` says of a layer."""

import pytest

from coe_mapping.bandwidth import predict
from coe_mapping.kernels.gemm import gemm_kernel
from hdl.params import DEMO
from scripts.bench_mapping import JOINED, LAYERS, mapped
from verif.measure import multiplying


def test_wires_take_no_time_and_an_average_network_some() -> None:
    """A row of a product passes four streams: to its buffer, to the unit, to the store; and weights come beside."""
    program = gemm_kernel(DEMO, 1, 16, 8).program
    loss = predict(DEMO, program).cycles - predict(DEMO, program, timing=JOINED).cycles
    assert loss == pytest.approx(3 * 8)


def test_a_mapped_layer_uses_what_its_program_has_and_is_slower_than_joined_by_wires() -> None:
    layer = mapped(LAYERS["small model, prefill of 8"])
    used = [layer.kernel.program.kind(unit).name for unit in layer.kernel.program.units]
    assert layer.share == pytest.approx(min(used.count("PCU"), used.count("PMU")) / 24)
    assert 0 < layer.loss < 0.1
    before_attention, scores_and_values, output = 3, 2, 1
    assert (
        multiplying(layer.compiled)
        == before_attention + scores_and_values + output + 3 * layer.kernel.shares.inner * layer.kernel.shares.lines
    )
    assert 0 < layer.seconds < 60
