"""Operators of language models, twice: in the contract's arithmetic as the fabric computes them, and in plain float64.

Both classes have one method an operator, of the same name and parameters, so whoever walks a graph can take either.
Shapes: activations are (rows, features), a row a token; ``sequences`` equal blocks of rows belong to one sequence each.
A cache is (sequences, kv_heads, capacity, head_size). Positions count from 0 within a sequence.
"""

from golden_model.operators.arithmetic import Arithmetic, rotary_angles
from golden_model.operators.contract import ContractArithmetic
from golden_model.operators.plain import PlainArithmetic

__all__ = ["Arithmetic", "ContractArithmetic", "PlainArithmetic", "rotary_angles"]
