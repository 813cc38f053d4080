"""The address pipeline of an AGCU stream by itself: offsets and tokens of every round, start after start."""

from typing import Any

import pytest
from amaranth.lib import data

from coe_mapping.assembler.agcu import Access, AGCUProgram, Counter, Event, Load, Register, Segment, assemble
from golden_model.agcu import accesses
from hdl.agcu.config import agcu_layout, events_layout, load_layout, part_layout
from hdl.agcu.pipeline import AddressPipeline, item_layout
from hdl.config import unpack
from hdl.params import TEST
from verif.sim import Model, compile_python

ROUNDS, STEP = 3, 64
ITEM = item_layout(TEST)


@pytest.fixture(scope="module")
def rtl() -> Model:
    return compile_python(AddressPipeline(TEST, 0), "address_pipeline")


def program(rounds: int) -> AGCUProgram:
    """Eight vectors a round, the first of which waits for a token and the last of which sends one."""
    access = Access(0, (Counter(2, 32), Counter(4, 8)), (Register(8, (0, 1)),), rounds=rounds, step=STEP)
    token = Event(0, 0, carried=rounds > 1)
    return AGCUProgram((Segment(0, 1024, read=True),), (Load(access),), token_in=(token,), token_out=(None, token))


def plain(shape: Any, value: Any) -> Any:
    """Unpacked fields as an initial value."""
    if isinstance(shape, data.StructLayout):
        return {name: plain(field.shape, getattr(value, name)) for name, field in shape}
    if isinstance(shape, data.ArrayLayout):
        return [plain(shape.elem_shape, value[i]) for i in range(shape.length)]
    return value


def run(model: Model, words: list[int]) -> list[tuple[int, int, int]]:
    """One start: of every access the offset, the tokens it waits for and those it sends."""
    config: Any = unpack(agcu_layout(TEST), words)
    events = {name: plain(layout, config[name]) for name, layout in events_layout(TEST.agcu).items()}
    segment = {"base": 0, "limit": config.segments[0].limit, "permitted": 1}
    own = plain(load_layout(TEST.agcu), config.loads[0])
    model["config"] = part_layout(TEST, 0).const({"own": own, "segment": segment, **events}).as_bits()
    model["o__ready"], model["start"] = 1, 1
    model.tick()
    model["start"] = 0
    made: list[tuple[int, int, int]] = []
    while model["busy"]:
        if model["o__valid"]:
            item: Any = ITEM.from_bits(model["o__payload"])
            made.append((int(item.offset), int(item.events.wait), int(item.events.fire)))
        model.tick()
        assert len(made) < 1000, "it does not end"
    return made


def expected(words: list[int], rounds: int) -> list[tuple[int, int, int]]:
    every = []
    for number in range(rounds):
        made = accesses(TEST, words, 0, [[]] * TEST.agcu.SCALAR_INPUTS, number)
        fire = [sum(int(f) << i for i, f in enumerate(row)) for row in made.fire]
        wait = [made.consumed_tokens[0], *[0] * (len(made) - 1)]
        every += list(zip(made.offset.tolist(), wait, fire, strict=True))
    return every


def test_every_start_begins_at_the_first_round_whatever_ran_before(rtl: Model) -> None:
    rtl.reset()
    for rounds in (ROUNDS, ROUNDS, 1, 2):
        words = assemble(TEST, program(rounds))
        assert run(rtl, words) == expected(words, rounds)


def test_a_carried_token_is_not_awaited_in_the_first_round_and_not_sent_in_the_last(rtl: Model) -> None:
    rtl.reset()
    made = run(rtl, assemble(TEST, program(ROUNDS)))
    assert [made[8 * number][1] for number in range(ROUNDS)] == [0, 1, 1]
    assert [made[8 * number + 7][2] for number in range(ROUNDS)] == [2, 2, 0]
    assert [offset for offset, _, _ in made[:9]] == [8, 16, 24, 32, 40, 48, 56, 64, 8 + STEP]
