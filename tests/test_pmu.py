"""The PMU's benches, the faults of its memory, and the sizes it can be built in."""

from typing import Any

import numpy as np
import pytest

from coe_mapping.assembler.pmu import Counter, Event, Pipeline, PMUProgram, Region, Register, assemble
from hdl import ecc
from hdl.config import STATUS_BASE
from hdl.params import ELEMENT_BITS, PMUParams
from hdl.pmu.config import Error, Side, Status
from hdl.pmu.pmu import PMU
from verif.benches.pmu import DIRECTED, EXAMPLES, public, sizes
from verif.sim import compile_python, run_bench

BENCH = "verif.benches.pmu"


def test_200_random_programs_equal_the_golden_model_under_random_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXAMPLES, "200")
    run_bench(BENCH, test="random_programs", public=public(sizes()))


def test_directed_programs_transpose_double_buffer_look_up_gather_and_share_banks() -> None:
    """One simulation, a test a pattern; a failure says which."""
    assert set(run_bench(BENCH, test="|".join(DIRECTED), public=public(sizes())).tests) == set(DIRECTED)


class Faulty:
    """A PMU with ECC as a Python object; programs that write and read eight rows, with flips of stored bits between."""

    PARAMS = PMUParams(lanes=2, rows=16, groups=1, alu_stages=2, fifo_depth=4, ecc=True)
    ROWS = 8

    def __init__(self) -> None:
        nets = [f"banks.bank_{b}.group_0" for b in range(self.PARAMS.lanes)]
        self.model = compile_python(PMU(self.PARAMS), "pmu_ecc", public=nets)
        self.words = [self.model.array(net) for net in nets]
        self.model.reset()

    def start(self, program: PMUProgram) -> None:
        model = self.model
        model["bus__write"] = 1
        for i, word in enumerate(assemble(self.PARAMS, program)):
            model["bus__address"], model["bus__write_data"] = i, word
            model.tick()
        model["bus__write"] = 0
        for port in ("commit", "start"):
            model[port] = 1
            model.tick()
            model[port] = 0

    def rows(self) -> Pipeline:
        lanes = self.PARAMS.lanes
        return Pipeline(Region(0, self.ROWS), (Counter(self.ROWS, lanes),), (Register(counters=(0,)),))

    def write(self, elements: np.ndarray[Any, Any]) -> None:
        self.start(PMUProgram(write=self.rows()))
        for low, high in elements:
            self.model["vector_in__0__payload"] = int(low) | int(high) << ELEMENT_BITS
            self.model["vector_in__0__valid"] = 1
            while not self.model["vector_in__0__ready"]:
                self.model.tick()
            self.model.tick()
        self.model["vector_in__0__valid"] = 0
        self.model.tick(40)

    def read(self) -> np.ndarray[Any, Any]:
        self.start(PMUProgram(read=self.rows()))
        self.model["vector_out__0__ready"] = 1
        beats = []
        for _ in range(60):
            if self.model["vector_out__0__valid"]:
                beats.append(self.model["vector_out__0__payload"])
            self.model.tick()
        return np.array([[b & 0xFFFF, b >> ELEMENT_BITS & 0xFFFF] for b in beats], np.uint16)

    def status(self, word: Status) -> int:
        self.model["bus__address"] = STATUS_BASE + word
        self.model.tick()
        return self.model["bus__read_data"]


def test_a_flipped_bit_in_memory_is_corrected_and_counted_and_two_are_reported() -> None:
    pmu = Faulty()
    elements = np.random.default_rng(3).integers(0, 1 << 16, (pmu.ROWS, pmu.PARAMS.lanes)).astype(np.uint16)
    pmu.write(elements)
    assert (pmu.read() == elements).all()
    assert [pmu.status(s) for s in (Status.READS, Status.CORRECTED, Status.DETECTED, Status.ERRORS)] == [8, 0, 0, 0]

    for bit in range(ecc.code_width(ELEMENT_BITS)):  # one flip in one word of each bank, every bit in turn
        for words in pmu.words:
            words[bit % pmu.ROWS] ^= 1 << bit
        assert (pmu.read() == elements).all(), f"bit {bit}"
        assert [pmu.status(s) for s in (Status.CORRECTED, Status.DETECTED, Status.ERRORS)] == [2, 0, 0], f"bit {bit}"
        for words in pmu.words:
            words[bit % pmu.ROWS] ^= 1 << bit

    pmu.words[0][5] ^= 1 << 3 | 1 << 17
    assert (np.delete(pmu.read(), 5, axis=0) == np.delete(elements, 5, axis=0)).all()
    assert [pmu.status(s) for s in (Status.CORRECTED, Status.DETECTED)] == [0, 1]
    assert pmu.status(Status.ERRORS) == Error.UNCORRECTABLE


def test_a_token_that_finds_its_counter_full_is_reported() -> None:
    pmu = Faulty()
    pmu.start(PMUProgram(read=pmu.rows(), token_in=(Event(Side.READ, 0),)))
    pmu.model.tick(30)
    assert pmu.status(Status.WAIT_TOKEN) > 10
    pmu.model["token_in"] = 0b0010
    pmu.model.tick(255)
    assert pmu.status(Status.ERRORS) == 0
    pmu.model.tick(1)
    pmu.model["token_in"] = 0
    assert pmu.status(Status.ERRORS) == Error.TOKEN_LOST
