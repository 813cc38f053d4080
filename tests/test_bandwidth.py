"""The bandwidth model: curves and queues by hand, units one by one, and kernels against cycles measured on the RTL."""

from dataclasses import replace

import numpy as np
import pytest

from coe_mapping.assembler.pcu import Counter, PCUProgram
from coe_mapping.assembler.pmu import PMUProgram
from coe_mapping.bandwidth import Timing, bound, launch_overhead, predict, table
from coe_mapping.curves import Curve, merged, pace, sample, served
from coe_mapping.kernels.decoder import LayerShape, decoder_layer
from coe_mapping.kernels.gemm import gemm_kernel
from coe_mapping.kernels.unfused import UnfusedLayout, unfused_layer
from coe_mapping.kernels.unfused.attention import softmax
from coe_mapping.kernels.unfused.rows import linear
from coe_mapping.program import Program
from hdl.errors import ParameterError
from hdl.floorplan import Kind
from hdl.params import DEMO, TEST, RDUParams, TierParams
from verif.kernel_cycles import GEMMS, OPERATORS

SMOLLM2 = LayerShape(576, 9, 3, 64, 1536, 1e-5, rows=1, positions=64, batch=True)


def curve(*times: float) -> Curve:
    return Curve(len(times), np.arange(len(times), dtype=np.float64), np.array(times, np.float64))


def test_a_paced_sequence_is_never_early_and_never_faster_than_its_clock() -> None:
    ready = np.array([5.0, 0.0, 0.0, 20.0, 0.0])
    assert pace(ready, np.arange(5.0)).tolist() == [5, 6, 7, 20, 21]
    assert pace(ready, 3 * np.arange(5.0)).tolist() == [5, 8, 11, 20, 23]


def test_merged_streams_keep_every_beat_in_order_of_time() -> None:
    both = merged([curve(1, 4, 9), curve(2, 3)])
    assert (both.count, both.times.tolist()) == (5, [1, 2, 3, 4, 9])
    assert both.beats.tolist() == [0, 1, 2, 3, 4]


def test_a_server_takes_requests_as_they_come_and_rests_when_there_are_none() -> None:
    a, b = served([curve(0, 0, 10), curve(0)], [2.0, 3.0])
    assert a.times.tolist() == [2, 4, 12]
    assert b.times.tolist() == [7]


def test_a_sampled_stream_is_served_like_the_whole() -> None:
    count = 10_000
    whole, sampled = (Curve(count, n, 0.5 * n) for n in (sample(count, count), sample(count, 100)))
    assert len(sampled.beats) == 100
    assert served([sampled], [1.0])[0].last == served([whole], [1.0])[0].last == count
    assert merged([sampled, sampled]).beats[-1] == 2 * count - 1


@pytest.mark.parametrize("sizes", GEMMS, ids=str)
def test_products_take_the_cycles_that_the_rtl_takes(sizes: tuple[int, int, int]) -> None:
    predicted = predict(TEST, gemm_kernel(TEST, *sizes).program)
    assert predicted.cycles == pytest.approx(GEMMS[sizes], rel=0.1)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_take_the_cycles_that_the_rtl_takes(name: str) -> None:
    kernel, measured = OPERATORS[name]
    assert predict(TEST, kernel.program).cycles == pytest.approx(measured, rel=0.1)


def _cycles(program: Program, params: RDUParams = DEMO) -> float:
    return predict(params, program).cycles


def test_twice_the_k_takes_twice_the_issues_and_the_same_fill() -> None:
    """Four slots, so an issue a cycle."""
    short, long = (_cycles(gemm_kernel(DEMO, 4, k, 32).program) for k in (512, 1024))
    # the rows of the longer one take longer to come: 4 x 64 vectors more before the first issue
    assert long - short == pytest.approx(512 * 4 + 256, abs=2)


def test_fewer_slots_than_the_multiply_add_is_deep_leave_gaps() -> None:
    one, four = (predict(DEMO, gemm_kernel(DEMO, 4, 512, n).program) for n in (8, 32))
    assert one.cycles == pytest.approx(four.cycles, rel=0.03)
    assert one.macs == four.macs / 4


def test_a_product_is_bound_by_its_pcu_and_many_in_parallel_by_memory() -> None:
    assert predict(DEMO, gemm_kernel(DEMO, 4, 512, 64).program).binding == "PCU product"
    layout = UnfusedLayout(DEMO, SMOLLM2)
    kernel = linear(layout, "gated", "gate", "mlp_normed", (1, 6), gathered=False)
    predicted = predict(DEMO, kernel.program)
    assert predicted.binding == "HBM"
    assert predicted.ideal >= 576 * 1536 / 8 / 4
    assert 0.95 < predicted.ideal / predicted.cycles < 1


def test_a_short_product_waits_for_the_residual_that_its_sums_start_from() -> None:
    """A tile takes 16 issues and starts from 32 beats."""
    layout = UnfusedLayout(DEMO, LayerShape(512, 4, 2, 16, 4, 1e-5, rows=4, positions=32))
    plain, residual = (
        _cycles(linear(layout, "y", "down", "product", (1, 1), initial=initial).program)
        for initial in (None, "after_attention")
    )
    assert residual - plain > 16 * (layout.down.tiles - 1)


def test_no_prediction_is_below_the_bound_of_the_busiest_resource() -> None:
    for kernel, _ in OPERATORS.values():
        assert predict(TEST, kernel.program).cycles > bound(TEST, kernel.program)


def test_memory_with_half_the_channels_takes_twice_the_time_of_what_it_binds() -> None:
    kernel = linear(UnfusedLayout(DEMO, SMOLLM2), "gated", "gate", "mlp_normed", (1, 6), gathered=False)
    hbm = DEMO.memory.hbm
    slow = replace(DEMO, memory=replace(DEMO.memory, hbm=replace(hbm, channels=hbm.channels // 2)))
    assert _cycles(kernel.program, slow) == pytest.approx(2 * _cycles(kernel.program), rel=0.02)


def _with_latency(tier: TierParams, cycles: int) -> RDUParams:
    return replace(DEMO, memory=replace(DEMO.memory, hbm=replace(tier, latency=cycles)))


def test_memory_latency_counts_once_where_it_is_hidden_and_once_more_on_the_way_back() -> None:
    program = gemm_kernel(DEMO, 4, 512, 32).program
    near, far = (_cycles(program, _with_latency(DEMO.memory.hbm, cycles)) for cycles in (40, 60))
    assert far - near == pytest.approx(40, abs=2)


def test_one_stage_buffer_makes_writer_and_reader_take_turns() -> None:
    """Blocks of 512 vectors go in while others come out, or not."""
    program = softmax(UnfusedLayout(DEMO, LayerShape(64, 4, 2, 16, 64, 1e-5, 8, 1024)), (1, 1)).program
    delay = program.units["delay0"]
    assert isinstance(delay, PMUProgram)
    single = replace(program, units={**program.units, "delay0": replace(delay, buffers=1)})
    assert _cycles(single) > 1.4 * _cycles(program)


@pytest.mark.parametrize(
    ("rows", "batch", "speedup"), [(1, True, 2.27), (4, True, 1.98), (16, False, 1.45)], ids=["one", "batch", "prefill"]
)
def test_how_much_faster_a_fused_layer_is_than_its_operators_one_after_the_other(
    rows: int, batch: bool, speedup: float
) -> None:
    """Execution alone, without the loads and launches of either; a gain shows here as much as a loss."""
    shape = LayerShape(64, 4, 2, 16, 128, 1e-5, rows=rows, positions=32, batch=batch)
    kernels = unfused_layer(DEMO, shape)
    alone = sum(_cycles(kernel.program) for kernel in kernels)
    fused = predict(DEMO, decoder_layer(DEMO, shape).program)
    assert alone / fused.cycles == pytest.approx(speedup, rel=0.02)
    assert fused.ideal > sum(kernel.units[Kind.PCU] > 0 for kernel in kernels)


def test_decode_of_a_real_model_is_bound_by_memory() -> None:
    predicted = predict(DEMO, decoder_layer(DEMO, SMOLLM2).program)
    assert predicted.binding == "HBM"
    assert predicted.ideal > 0.86 * predicted.cycles


def test_prefill_of_a_real_model_reads_weights_less_often_than_rows_come() -> None:
    """In lines; one line would take half as long again."""
    predicted = predict(DEMO, decoder_layer(DEMO, replace(SMOLLM2, rows=64, batch=False)).program)
    assert predicted.ideal > 0.22 * predicted.cycles


def test_a_loop_of_unknown_length_is_refused() -> None:
    kernel = gemm_kernel(DEMO, 4, 16, 8)
    unit = kernel.program.units["product"]
    assert isinstance(unit, PCUProgram)
    popped = replace(unit, counters=(Counter(popped=0), *unit.counters[1:]))
    program = replace(kernel.program, units={**kernel.program.units, "product": popped})
    with pytest.raises(ParameterError, match="a loop of product takes its limit from a stream: give it a number"):
        predict(DEMO, program)


def test_latencies_can_be_set_one_by_one() -> None:
    program = gemm_kernel(TEST, 1, 16, 16).program
    base = Timing()
    for name in ("start", "finish", "pcu_issue", "pcu_drain", "pcu_result", "pmu_write", "pmu_read", "agcu_store"):
        later = replace(base, **{name: getattr(base, name) + 7})
        assert predict(TEST, program, timing=later).cycles == predict(TEST, program, timing=base).cycles + 7, name


def test_the_host_costs_its_latency_and_a_program_its_words() -> None:
    for words, measured in ((104, 566), (472, 1302), (928, 2214)):  # on RTL 2.00 a word, 258, and the host's 100
        assert launch_overhead(TEST, words, host=True) - 100 == pytest.approx(measured, rel=0.02)
    faster = replace(TEST, host=replace(TEST.host, launch_latency=0))
    assert launch_overhead(TEST, 472, host=True) - launch_overhead(faster, 472, host=True) == 200
    assert launch_overhead(TEST, 472, 12, host=False) > launch_overhead(TEST, 472, host=False)


def test_the_table_shows_prediction_bound_and_error() -> None:
    kernel = gemm_kernel(DEMO, 4, 512, 64)
    predicted = predict(DEMO, kernel.program)
    text = table([predicted, replace(predicted, name="other")], {"gemm": predicted.cycles / 1.05})
    lines = text.splitlines()
    assert lines[1].split()[0] == "gemm"
    assert "+5.0%" in lines[1]
    assert "%" in lines[2]
    assert "+" not in lines[2]
    assert all(line.endswith("PCU product") for line in lines[1:])
