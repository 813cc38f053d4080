"""The PMU's benches, the faults of its memory, and the sizes it can be built in."""

from typing import Any

import numpy as np
import pytest

from coe_mapping.assembler.pmu import Counter, Event, Pipeline, PMUProgram, Region, Register, assemble
from hdl import ecc
from hdl.clock_gate import CELL
from hdl.config import STATUS_BASE
from hdl.params import ELEMENT_BITS, PMUParams
from hdl.pmu.config import Error, Side, Status
from hdl.pmu.pmu import PMU
from verif.benches.pmu import EXAMPLES, public, sizes
from verif.lint import complaints
from verif.sim import compile_python, run_bench

BENCH = "verif.benches.pmu"
DIRECTED = "verif.benches.pmu_directed"
MEMORIES = public(sizes())


def test_200_random_programs_equal_the_golden_model_under_random_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXAMPLES, "200")
    run_bench(BENCH, test="random_programs", public=MEMORIES)


def test_a_pmu_that_sleeps_equals_one_that_does_not_in_every_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXAMPLES, "40")
    memories = public(sizes(), "unit.one")
    run_bench(
        BENCH, name="pmu_pair", parameters={"gated": True}, test="random_programs", public=memories, sources=[CELL]
    )


def test_directed_programs_equal_numpy_and_keep_their_rates() -> None:
    """One simulation, a test a pattern; a failure says which."""
    assert run_bench(DIRECTED, name="pmu", public=MEMORIES).tests


def test_verilog_of_the_smallest_unit_with_ecc_is_clean() -> None:
    """Other sizes: ``make verify ONLY=pmu``."""
    assert complaints(PMU(PMUParams(lanes=2, rows=16, groups=2, alu_stages=2, fifo_depth=2, ecc=True)), "pmu") == ""


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


@pytest.fixture(scope="module")
def faulty() -> Faulty:
    return Faulty()


def test_a_flipped_bit_in_memory_is_corrected_and_counted_and_two_are_reported(faulty: Faulty) -> None:
    pmu = faulty
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


def test_every_word_with_at_most_one_flip_is_right_and_every_double_flip_is_counted(
    faulty: Faulty, rng: np.random.Generator
) -> None:
    """All words of the memory at once, none, one or two bits flipped in each; singles in both banks of a row too."""
    width = ecc.code_width(ELEMENT_BITS)
    elements = rng.integers(0, 1 << 16, (faulty.ROWS, faulty.PARAMS.lanes)).astype(np.uint16)
    for _ in range(20):
        faulty.write(elements)
        flips = rng.integers(0, 3, elements.shape)
        for (row, bank), count in np.ndenumerate(flips):
            for bit in rng.choice(width, count, replace=False):
                faulty.words[bank][row] ^= 1 << int(bit)
        assert (faulty.read() == elements)[flips < 2].all()
        counts = [faulty.status(word) for word in (Status.CORRECTED, Status.DETECTED)]
        assert counts == [(flips == 1).sum(), (flips == 2).sum()]
        assert faulty.status(Status.ERRORS) == (Error.UNCORRECTABLE if (flips == 2).any() else 0)


def test_a_token_that_finds_its_counter_full_is_reported(faulty: Faulty) -> None:
    pmu = faulty
    pmu.start(PMUProgram(read=pmu.rows(), token_in=(Event(Side.READ, 0),)))
    pmu.model.tick(30)
    assert pmu.status(Status.WAIT_TOKEN) > 10
    pmu.model["token_in"] = 0b0010
    pmu.model.tick(255)
    assert pmu.status(Status.ERRORS) == 0
    pmu.model.tick(1)
    pmu.model["token_in"] = 0
    assert pmu.status(Status.ERRORS) == Error.TOKEN_LOST
