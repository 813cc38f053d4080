"""Operator graphs: what is computed, on tensors of which shape and type, and how long each tensor lives.

Every tensor is written once. An operator that changes a state gives a new tensor that names the state it ``updates``;
both may live in the same memory.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]
Attribute = int | float | bool | str


class DType(enum.Enum):
    """Element types; the value is the size in bytes."""

    BF16 = "bf16"
    FP32 = "fp32"
    INT32 = "int32"

    @property
    def bytes(self) -> int:
        return 2 if self is DType.BF16 else 4


class Role(enum.Enum):
    """INPUT comes from outside, WEIGHT with the model (tables too), STATE survives a run, the rest is made here."""

    INPUT = "input"
    WEIGHT = "weight"
    STATE = "state"
    ACTIVATION = "activation"


class Kind(enum.Enum):
    """Operators; the value is the name of the method that computes it in ``golden_model.operators``."""

    EMBEDDING = "embedding"
    RMS_NORM = "rms_norm"
    LINEAR = "linear"
    ROTARY = "rotary"
    APPEND = "append"
    SCORES = "scores"
    SOFTMAX = "softmax"
    VALUES = "values"
    ADD = "add"
    MULTIPLY = "multiply"
    LAST_ROWS = "last_rows"
    ARG_MAX = "arg_max"


@dataclass(frozen=True)
class Tensor:
    """One tensor; ``updates`` is the state whose place it takes."""

    name: str
    shape: Shape
    dtype: DType
    role: Role
    updates: str | None = None

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> int:
        return self.elements * self.dtype.bytes


@dataclass(frozen=True)
class Operator:
    """One operator: ``kind`` of ``inputs``, in the order of the method's parameters, into ``outputs``."""

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class Lifetime:
    """Indices of operators: the tensor must hold its value from ``first`` to ``last``, both included.

    What comes from outside is there from -1 on; outputs and states stay until ``len(operators)``.
    """

    first: int
    last: int


@dataclass(frozen=True)
class Graph:
    """Operators in an order in which they can run, and every tensor they mention.

    Raises:
        ValueError: a tensor is unknown, used before it is made, or made twice.
    """

    tensors: Mapping[str, Tensor]
    operators: tuple[Operator, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        known = {name for name, tensor in self.tensors.items() if tensor.role is not Role.ACTIVATION}
        for operator in self.operators:
            for name in operator.inputs:
                if name not in known:
                    raise ValueError(f"operator {operator.name} reads tensor {name}, which nothing has made before it")
            for name in operator.outputs:
                if name in known or name not in self.tensors:
                    raise ValueError(f"operator {operator.name} makes tensor {name}, which is unknown or made already")
                known.add(name)
        for name in self.outputs:
            if name not in known:
                raise ValueError(f"output {name} is made by nothing")

    def of_role(self, role: Role) -> tuple[Tensor, ...]:
        return tuple(tensor for tensor in self.tensors.values() if tensor.role is role)

    def consumers(self, tensor: str) -> tuple[Operator, ...]:
        """Who reads it."""
        return tuple(operator for operator in self.operators if tensor in operator.inputs)

    def lifetimes(self) -> dict[str, Lifetime]:
        """When each tensor must be held."""
        first, last = dict.fromkeys(self.tensors, -1), dict.fromkeys(self.tensors, -1)
        for index, operator in enumerate(self.operators):
            first |= dict.fromkeys(operator.outputs, index)
            last |= dict.fromkeys((*operator.inputs, *operator.outputs), index)
        for name, tensor in self.tensors.items():
            if name in self.outputs or tensor.role is Role.STATE:
                last[name] = len(self.operators)
        return {name: Lifetime(first[name], last[name]) for name in self.tensors}
