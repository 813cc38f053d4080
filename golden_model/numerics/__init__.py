"""The numerics contract (``docs/numerics.md``) in NumPy, bit for bit.

Arrays are ``ml_dtypes.bfloat16``, ``np.float32``, ``np.int32`` and ``np.int8``, of any shapes that broadcast.
"""

from golden_model.numerics.convert import to_bf16, to_fp32, to_int8, to_int32
from golden_model.numerics.floating import (
    add,
    arg_max,
    arg_min,
    compare,
    maximum,
    minimum,
    multiply,
    multiply_add,
    subtract,
)
from golden_model.numerics.formats import canonicalize, from_bits, to_bits
from golden_model.numerics.integers import integer
from golden_model.numerics.matrix import gemm
from golden_model.numerics.reduce import Reduced, lane_tree, time_reduce
from golden_model.numerics.stochastic import draws, lane_seeds

__all__ = [
    "Reduced",
    "add",
    "arg_max",
    "arg_min",
    "canonicalize",
    "compare",
    "draws",
    "from_bits",
    "gemm",
    "integer",
    "lane_seeds",
    "lane_tree",
    "maximum",
    "minimum",
    "multiply",
    "multiply_add",
    "subtract",
    "time_reduce",
    "to_bf16",
    "to_bits",
    "to_fp32",
    "to_int8",
    "to_int32",
]
