"""Switch programs: every rule refuses with its own sentence, words round-trip, every preset fits the bus."""

import numpy as np
import pytest

from coe_mapping.assembler.rdn import (
    Destination,
    Dynamic,
    Forward,
    LocalWire,
    SideWire,
    Source,
    SwitchProgram,
    TokenSwitchProgram,
    assemble,
    assemble_tokens,
    disassemble,
    disassemble_tokens,
)
from hdl.config import STATUS_BASE, word_count
from hdl.errors import ParameterError
from hdl.floorplan import Side, floorplan
from hdl.params import DEMO, NANO, PRESETS, TEST, RDNParams, RDUParams
from hdl.rdn.config import Fabric, SwitchSizes, TokenSizes, switch_layout, switch_sizes, token_layout, token_sizes
from verif.strategies.rdn import configure, configure_tokens, random_plan

SIZES = SwitchSizes(RDNParams(), locals_in=3, locals_out=6, lanes=4)
TOKENS = TokenSizes(wires=4, locals_in=3, locals_out=2)
EAST = Forward({Side.EAST: 1})
ENDS = (Destination(0, 1, 0),) * 4


def flow(number: int, forward: Forward) -> SwitchProgram:
    return SwitchProgram(flows={(Side.WEST, number): forward})


def source(index: int, route: Forward | Dynamic, throttle: int = 0) -> SwitchProgram:
    return SwitchProgram(sources={index: Source(route, throttle)})


RULES = [
    (flow(8, EAST), "flow 8 from the west: a link tells 8 flows apart"),
    (flow(0, Forward({Side.WEST: 0})), "flow 0 from the west would leave by the side it came from"),
    (flow(0, Forward()), "flow 0 from the west goes nowhere"),
    (flow(0, Forward({Side.EAST: 8})), "flow 8 to the east is not in 0..7"),
    (flow(0, Forward(outputs=(6,))), "there is no local output 6, only 6"),
    (flow(0, Forward(outputs=(1, 0))), r"local outputs \(1, 0\) must be ascending"),
    (source(3, EAST), "local input 3: there are 3"),
    (source(0, EAST, throttle=256), "a throttle of 256 is not in 0..255"),
    (source(0, Forward()), "local input 0 goes nowhere"),
    (source(0, Dynamic(ENDS[:3])), "3 destinations, two bits choose of 4"),
    (source(0, Dynamic(ENDS, shift=15)), "a shift of 15 is not in 0..14"),
    (source(0, Dynamic((*ENDS[:3], Destination(32, 0, 0)))), "there is no place for row 32, column 0, output 0"),
]


@pytest.mark.parametrize(("program", "says"), RULES, ids=[says for _, says in RULES])
def test_a_program_that_breaks_a_rule_is_refused_by_its_sentence(program: SwitchProgram, says: str) -> None:
    assemble(SIZES, flow(0, EAST))
    with pytest.raises(ParameterError, match=says):
        assemble(SIZES, program)


@pytest.mark.parametrize(
    ("out", "into", "says"),
    [
        (SideWire(Side.EAST, 4), LocalWire(0), "there is no wire 4, only 4 a side"),
        (LocalWire(2), LocalWire(0), "there is no local token 2, only 2"),
        (LocalWire(0), LocalWire(3), "there is no local token 3, only 3"),
    ],
)
def test_a_token_wire_that_does_not_exist_is_refused(out: SideWire, into: LocalWire, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        assemble_tokens(TOKENS, TokenSwitchProgram({out: into}))


@pytest.mark.parametrize("params", [NANO, TEST, DEMO], ids=lambda params: params.name)
@pytest.mark.parametrize("fabric", [Fabric.VECTOR, Fabric.SCALAR])
def test_words_disassemble_to_a_program_that_assembles_to_the_same_words(
    params: RDUParams, fabric: Fabric, rng: np.random.Generator
) -> None:
    words = configure(params, fabric, random_plan(params, fabric, rng))
    assert any(any(given) for given in words.values())
    for place in floorplan(params).of(fabric.value):
        sizes = switch_sizes(params, fabric, place.column)
        program = disassemble(sizes, words[place.number])
        assert assemble(sizes, program) == words[place.number]
        assert disassemble(sizes, assemble(sizes, program)) == program


def test_token_words_disassemble_to_a_program_that_assembles_to_the_same_words(rng: np.random.Generator) -> None:
    words = configure_tokens(DEMO, random_plan(DEMO, Fabric.TOKEN, rng).streams)
    assert any(any(given) for given in words.values())
    for place in floorplan(DEMO).of(Fabric.TOKEN.value):
        sizes = token_sizes(DEMO, place.column)
        program = disassemble_tokens(sizes, words[place.number])
        assert assemble_tokens(sizes, program) == words[place.number]


@pytest.mark.parametrize("params", PRESETS.values(), ids=PRESETS)
def test_the_configuration_of_every_switch_fits_the_bus(params: RDUParams) -> None:
    for column in (0, 1):
        for fabric in (Fabric.VECTOR, Fabric.SCALAR):
            assert word_count(switch_layout(switch_sizes(params, fabric, column))) <= STATUS_BASE
        assert word_count(token_layout(token_sizes(params, column))) <= STATUS_BASE


def test_a_switch_whose_configuration_does_not_fit_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"64 flows with 5 local inputs .* take \d+ configuration words"):
        SwitchSizes(RDNParams(flows=64), 5, 7, 4)
    with pytest.raises(ParameterError, match="33 local outputs of a switch are more than the 32"):
        SwitchSizes(RDNParams(), 5, 33, 4)
