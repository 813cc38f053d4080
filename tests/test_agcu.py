"""The AGCU's benches, the sizes it can be built in, and the errors that it counts."""

from dataclasses import replace
from typing import Any

import pytest

from coe_mapping.assembler.agcu import Access, AGCUProgram, Event, Load, Segment, assemble
from hdl.agcu.agcu import AGCU
from hdl.agcu.config import Error, Status, agcu_layout
from hdl.clock_gate import CELL
from hdl.config import STATUS_BASE
from hdl.errors import ParameterError
from hdl.params import NANO, TEST, RDUParams
from verif.benches.agcu import EXAMPLES
from verif.benches.agcu_directed import DIRECTED
from verif.sim import compile_python, run_bench


def test_100_random_programs_equal_the_golden_model_under_random_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXAMPLES, "100")
    run_bench("verif.benches.agcu", test="random_programs")


def test_an_agcu_that_sleeps_equals_one_that_does_not_in_every_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXAMPLES, "30")
    bench = "verif.benches.agcu"
    run_bench(bench, name="agcu_pair", parameters={"gated": True}, test="random_programs", sources=[CELL])


def test_directed_programs_copy_gather_scatter_fault_halt_fence_and_load_words() -> None:
    """One simulation, a test a pattern; a failure says which."""
    assert set(run_bench("verif.benches.agcu_directed", name="agcu").tests) == set(DIRECTED)


class Small:
    """The AGCU of ``nano`` as a Python object."""

    def __init__(self) -> None:
        self.model = compile_python(AGCU(NANO), "agcu_nano")

    def start(self, program: AGCUProgram) -> None:
        model = self.model
        model["bus__write"] = 1
        for i, word in enumerate(assemble(NANO, program)):
            model["bus__address"], model["bus__write_data"] = i, word
            model.tick()
        model["bus__write"] = 0
        for port in ("commit", "start"):
            model[port] = 1
            model.tick()
            model[port] = 0

    def status(self, word: Status) -> int:
        self.model["bus__address"] = STATUS_BASE + word
        self.model.tick()
        return int(self.model["bus__read_data"])


@pytest.fixture(scope="module")
def small() -> Small:
    return Small()


@pytest.fixture
def agcu(small: Small) -> Small:
    for port in ("token_in", "halt", "memory__request__ready"):
        small.model[port] = 0
    small.model.reset()
    return small


LOAD = AGCUProgram((Segment(0, 64, read=True),), (Load(Access(0)),))


def test_a_token_that_finds_its_counter_full_is_reported(agcu: Small) -> None:
    agcu.start(replace(LOAD, token_in=(None, Event(0, 0))))
    agcu.model.tick(30)
    assert agcu.status(Status.WAIT_TOKEN) > 5
    agcu.model["token_in"] = 0b0001  # a wire that nobody takes tokens from
    agcu.model.tick(255)
    assert agcu.status(Status.ERRORS) == 0
    agcu.model.tick(1)
    agcu.model["token_in"] = 0
    assert agcu.status(Status.ERRORS) == Error.TOKEN_LOST


def test_a_program_of_no_stream_is_done_at_once_and_a_reset_unit_is_still(agcu: Small) -> None:
    agcu.model["halt"] = 1
    agcu.model.tick(3)
    assert agcu.model["quiet"]
    agcu.model["halt"] = 0
    agcu.start(AGCUProgram())
    agcu.model.tick(2)
    assert agcu.model["done"]


def test_the_first_request_leaves_in_the_cycle_that_the_manual_says(agcu: Small) -> None:
    """A vector that ends its burst: no patience is spent on it."""
    agcu.start(LOAD)
    cycles = 1
    while not agcu.model["memory__request__valid"]:
        agcu.model.tick()
        cycles += 1
    assert cycles == 10 + NANO.agcu.alu_cycles * NANO.agcu.alu_stages


def sized(**changes: Any) -> RDUParams:
    return replace(TEST, agcu=replace(TEST.agcu, **changes))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (sized(loads=4, stores=4), "4 load and 4 store streams of 2 ALU stages and 8 segments take .* a unit has 128"),
        (sized(alu_stages=8, loads=3), "3 load and 1 store streams of 8 ALU stages"),
        (sized(outstanding=2), "2 bursts in flight are fewer than its 3 streams"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused_by_a_sentence(params: RDUParams, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        agcu_layout(params)
