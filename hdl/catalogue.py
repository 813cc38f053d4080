"""Every distinct block that leaves the house as Verilog, by module name."""

from collections.abc import Callable

from amaranth.lib import wiring

from hdl.arith.add import Add
from hdl.arith.compare import Compare, MinMax
from hdl.arith.convert import Bf16ToFp32, FloatToInteger, Fp32ToBf16, IntegerToFloat, IntegerToInteger
from hdl.arith.formats import BF16, FP32
from hdl.arith.integer import IntegerUnit
from hdl.arith.lfsr import Lfsr
from hdl.arith.multiply import Multiply
from hdl.arith.multiply_add import MultiplyAdd
from hdl.arith.special import SpecialFunction
from hdl.arith.streamed import Streamed
from hdl.arith.tree import LaneTree
from hdl.control.counters import CounterChain

UNITS: dict[str, Callable[[], wiring.Component]] = {
    "multiply_add": MultiplyAdd,
    "multiply_bf16": lambda: Multiply(BF16, BF16),
    "multiply_bf16_fp32": lambda: Multiply(BF16, FP32),
    "multiply_fp32": lambda: Multiply(FP32, FP32),
    "add_bf16": lambda: Add(BF16),
    "add_fp32": lambda: Add(FP32),
    "compare_bf16": lambda: Compare(BF16),
    "compare_fp32": lambda: Compare(FP32),
    "min_max_bf16": lambda: MinMax(BF16),
    "min_max_fp32": lambda: MinMax(FP32),
    "bf16_to_fp32": Bf16ToFp32,
    "fp32_to_bf16": Fp32ToBf16,
    "bf16_to_int8": lambda: FloatToInteger(BF16, 8),
    "fp32_to_int32": lambda: FloatToInteger(FP32, 32),
    "fp32_to_int8": lambda: FloatToInteger(FP32, 8),
    "int32_to_fp32": lambda: IntegerToFloat(32, FP32),
    "int8_to_bf16": lambda: IntegerToFloat(8, BF16),
    "int32_to_int8": lambda: IntegerToInteger(32, 8),
    "integer_unit": IntegerUnit,
    "lfsr": Lfsr,
    "lane_tree_fp32": lambda: LaneTree(FP32, lanes=8),
    "special_function": SpecialFunction,
    "multiply_add_streamed": lambda: Streamed(MultiplyAdd()),
    "counter_chain": lambda: CounterChain(counters=6, scalar_inputs=4),
}
