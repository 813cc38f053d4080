"""An observer that runs the operator-level golden model beside a device, and compares every layer and every token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coe_mapping.graph.graph import Operator
from coe_mapping.graph.run import Runner
from coe_mapping.language_model import Pass
from coe_mapping.models.model import Model, layer_tensor
from coe_mapping.schedule import Launch
from golden_model.operators import ContractArithmetic

Array = NDArray[Any]


@dataclass
class Reference:
    """What a language model on a device of ``lanes`` lanes ought to leave, bit for bit.

    Every sequence is a run of its own, whatever the batch of the device.

    Attributes:
        rows, tokens: compared so far. mismatches: a sentence for every row or token that differs.
    """

    model: Model
    lanes: int
    positions: int
    rows: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)
    mismatches: list[str] = field(default_factory=list, init=False)
    _runners: dict[int, Runner] = field(default_factory=dict, init=False)
    _hidden: dict[str, list[Array]] = field(default_factory=dict, init=False)
    _next: dict[int, int] = field(default_factory=dict, init=False)

    @property
    def bit_exact(self) -> bool:
        """Whether something was compared, and all of it agreed."""
        return self.rows > 0 and self.tokens > 0 and not self.mismatches

    def launch(self, step: Pass, launch: Launch) -> None:
        """Nothing to compare."""

    def layer(self, step: Pass, layer: int, hidden: Array) -> None:
        if layer == 0:
            self._run(step)
        expected = np.concatenate(self._hidden[layer_tensor(layer, "hidden")])
        wrong = np.flatnonzero((expected.view(np.uint16) != hidden.view(np.uint16)).any(axis=1))
        for i in wrong.tolist():
            column = int(np.flatnonzero(expected[i].view(np.uint16) != hidden[i].view(np.uint16))[0])
            self.mismatches.append(
                f"{step.phase}, layer {layer}, sequence {step.sequences[i]}, position {step.positions[i]}: element "
                f"{column} is {hidden[i, column]}, expected {expected[i, column]}"
            )
        self.rows += len(hidden)

    def answer(self, step: Pass, tokens: Mapping[int, int]) -> None:
        for sequence, token in tokens.items():
            if token != self._next[sequence]:
                self.mismatches.append(
                    f"{step.phase}, sequence {sequence}, after position {step.positions[-1]}: token {token}, expected "
                    f"{self._next[sequence]}"
                )
        self.tokens += len(tokens)

    def _run(self, step: Pass) -> None:
        """The same pass, sequence by sequence."""
        self._hidden = {}
        for sequence in dict.fromkeys(step.sequences):
            rows = [i for i, s in enumerate(step.sequences) if s == sequence]
            if step.positions[rows[0]] == 0:
                self._runners[sequence] = Runner(self.model, ContractArithmetic(self.lanes), 1, self.positions)
            runner = self._runners[sequence]
            assert runner.length == step.positions[rows[0]], f"sequence {sequence} did not begin at position 0"
            made = runner.step([[step.tokens[i] for i in rows]], self._keep)
            self._next[sequence] = int(made.next_tokens[0])

    def _keep(self, operator: Operator, made: Sequence[Array]) -> None:
        self._hidden.setdefault(operator.name, []).append(made[0])
