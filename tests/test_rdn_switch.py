"""One packet switch and one token switch: cycle by cycle."""

import itertools

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
    Wire,
    assemble_tokens,
)
from hdl.floorplan import Side
from hdl.rdn.config import TokenSizes
from hdl.rdn.tokens import TokenSwitch
from verif.benches.rdn_switch import SIZES, Seen, SwitchBench
from verif.sim import compile_python

N, E, S, W = Side
PASS = SwitchProgram(flows={(W, 1): Forward({E: 2}), (W, 2): Forward({E: 0})})


@pytest.fixture(scope="module")
def bench() -> SwitchBench:
    return SwitchBench()


def flit(payload: int, flow: int) -> dict[str, int]:
    return {"payload": payload, "flow": flow}


def test_a_flit_takes_two_cycles_from_link_to_link_and_gets_its_new_flow_id(bench: SwitchBench) -> None:
    bench.start(PASS)
    bench.step((W, flit(0xABCD, 1)))
    assert bench.run(6) == [Seen(2, "east", 0xABCD, flow=2)]
    assert bench.credits == {(W, 1): 1}


def test_a_single_flow_moves_a_flit_every_cycle(bench: SwitchBench) -> None:
    bench.start(PASS)
    for i in range(40):
        bench.step((W, flit(i, 1)))
    assert bench.run(4) == [Seen(i + 2, "east", i, flow=2) for i in range(40)]


def test_a_unit_reaches_the_link_and_another_unit_in_two_cycles_at_one_a_cycle(bench: SwitchBench) -> None:
    bench.start(SwitchProgram(sources={0: Source(Forward({N: 3}, (1,)))}))
    bench.run(2)
    bench.send(0, *range(100, 130))
    bench.run(36)
    taken = [cycle for cycle, _, _ in bench.accepted]
    assert taken == list(range(taken[0], taken[0] + 30))
    assert [seen for seen in bench.seen if seen.output == "north"] == [
        Seen(c + 2, "north", 100 + i, flow=3) for i, c in enumerate(taken)
    ]
    assert [seen for seen in bench.seen if seen.output == "local_1"] == [
        Seen(c + 2, "local_1", 100 + i) for i, c in enumerate(taken)
    ]


def test_a_blocked_branch_of_a_multicast_does_not_keep_the_flit_from_the_others(bench: SwitchBench) -> None:
    bench.start(SwitchProgram(flows={(W, 0): Forward({E: 1}, (0, 1))}))
    bench.blocked = {"local_0"}
    bench.step((W, flit(7, 0)))
    bench.step((W, flit(8, 0)))
    bench.run(10)
    # local output 0 keeps the first: the second goes everywhere else and waits for it alone
    assert sorted((s.output, s.payload) for s in bench.seen) == [
        ("east", 7),
        ("east", 8),
        ("local_1", 7),
        ("local_1", 8),
    ]
    assert bench.credits[W, 0] == 1
    bench.blocked = set()
    bench.run(6)
    assert [(s.output, s.payload) for s in bench.seen[4:]] == [("local_0", 7), ("local_0", 8)]
    assert bench.credits[W, 0] == 2


def test_a_link_without_credits_stops_its_channel_and_no_other(bench: SwitchBench) -> None:
    bench.start(PASS)
    bench.blocked = {"east"}
    for i in range(4):
        bench.step((W, flit(i, 1)))
    for i in range(4):
        bench.step((W, flit(10 + i, 1)))
    bench.run(8)
    assert [s.payload for s in bench.seen] == [0, 1, 2, 3]  # the depth of the channel beyond
    bench.start(SwitchProgram(flows={(W, 0): Forward({E: 0}), (W, 1): Forward({E: 1}), (S, 0): Forward({E: 2})}))
    bench.blocked = {"east"}
    for i in range(4):
        bench.step((W, flit(i, 0)))
    bench.step((S, flit(20, 0)))  # flow 2 shares channel 0 with flow 0: no credit is left
    bench.step((W, flit(30, 1)))
    bench.run(8)
    assert [s.payload for s in bench.seen] == [0, 1, 2, 3, 30]


def test_inputs_share_an_output_in_turn_and_a_free_one_is_not_disturbed(bench: SwitchBench) -> None:
    bench.start(
        SwitchProgram(
            flows={(W, 0): Forward(outputs=(0,)), (N, 0): Forward(outputs=(0,)), (S, 0): Forward({N: 0})},
            sources={1: Source(Forward(outputs=(0,)))},
        )
    )
    bench.send(1, *range(300, 330))
    for i in range(4):
        bench.step((W, flit(100 + i, 0)), (N, flit(200 + i, 0)), (S, flit(400 + i, 0)))
    bench.run(12)
    local = [s.payload // 100 for s in bench.seen if s.output == "local_0"]
    assert all(set(three) == {1, 2, 3} for three in (local[0:3], local[3:6], local[6:9]))
    assert [s.cycle for s in bench.seen if s.output == "north"] == [2, 3, 4, 5]


def test_a_throttled_source_rests_as_long_as_it_is_told(bench: SwitchBench) -> None:
    bench.start(SwitchProgram(sources={0: Source(Forward({E: 0}), throttle=5)}))
    bench.send(0, *range(6))
    bench.run(50)
    cycles = [s.cycle for s in bench.seen]
    assert [b - a for a, b in itertools.pairwise(cycles)] == [6] * 5
    assert bench.status()["stalled_local_0"] == 0


@pytest.mark.parametrize("shift", [0, 1, 9, 30])
def test_two_bits_of_the_word_choose_where_a_dynamic_flit_goes(bench: SwitchBench, shift: int) -> None:
    ends = (Destination(2, 5, 3), Destination(2, 0, 1), Destination(7, 2, 0), Destination(2, 2, 1))
    bench.start(SwitchProgram(sources={1: Source(Dynamic(ends, shift))}))
    words = [choice << shift for choice in (0, 1, 2, 3)]
    bench.send(1, *words)
    bench.run(10)
    assert {(s.output, s.payload, s.destination) for s in bench.seen} == {
        ("east", words[0], (2, 5, 3)),
        ("west", words[1], (2, 0, 1)),
        ("south", words[2], (7, 2, 0)),
        ("local_1", words[3], None),
    }


def test_dynamic_flits_go_along_the_row_first_then_along_the_column(bench: SwitchBench) -> None:
    bench.start(SwitchProgram())
    for i, (row, column) in enumerate([(0, 5), (5, 0), (0, 2), (3, 2), (2, 2)]):
        bench.step((W, {"payload": i, "dynamic": 1, "destination": {"row": row, "column": column, "port": 1}}))
    bench.run(6)
    assert [s.output for s in bench.seen] == [
        "east",
        "north",
        "south",
        "local_1",
    ]  # one of them came from the west: it does not turn back
    assert bench.status()["errors"] == 1 << W
    assert bench.credits[W, SIZES.rdn.channels] == 5


def test_a_flit_without_a_route_is_dropped_and_flagged_and_blocks_nothing(bench: SwitchBench) -> None:
    bench.start(SwitchProgram(flows={(N, 0): Forward(outputs=(0,))}))
    bench.send(0, 1, 2)
    for flow in (0, 2, 0, 3):
        bench.step((N, flit(50 + flow, flow)))
    bench.step((S, {"payload": 9, "dynamic": 1, "destination": {"row": 2, "column": 2, "port": 5}}))
    bench.run(8)
    assert [(s.output, s.payload) for s in bench.seen] == [("local_0", 50), ("local_0", 50)]
    assert bench.credits == {(N, 0): 3, (N, 1): 1, (S, 2): 1}
    assert bench.status()["errors"] == 1 << N | 1 << S | 1 << 4
    bench.start(PASS)
    assert bench.status()["errors"] == 0


def test_counters_tell_what_moved_and_what_stalled(bench: SwitchBench) -> None:
    bench.start(PASS)
    bench.blocked = {"east"}
    for i in range(6):
        bench.step((W, flit(i, 1)))
        bench.step()
    bench.run(10)
    before = bench.cycle
    bench.blocked = set()
    bench.run(10)
    status = bench.status()
    assert status["moved_east"] == 6
    first = 2 * 4 + 1  # the fifth flit is here from then on
    credit = before + 1  # given back in the first cycle, used in the second
    assert status["stalled_west"] == credit - first
    assert all(n == 0 for name, n in status.items() if name not in ("moved_east", "stalled_west"))


# Tokens

TOKENS = TokenSizes(wires=3, locals_in=2, locals_out=2)


def test_every_token_output_follows_the_wire_it_is_told_one_cycle_later(rng: np.random.Generator) -> None:
    model = compile_python(TokenSwitch(TOKENS), "lone_token_switch")
    sources: list[Wire] = [SideWire(side, wire) for side in Side for wire in range(3)]
    outputs: list[Wire] = [*sources, LocalWire(0), LocalWire(1)]
    sources += [LocalWire(0), LocalWire(1)]
    for _ in range(20):
        chosen = {out: sources[int(rng.integers(len(sources)))] for out in outputs if rng.random() < 0.8}
        model.reset()
        model["bus__write"] = 1
        for address, word in enumerate(assemble_tokens(TOKENS, TokenSwitchProgram(chosen))):
            model["bus__address"], model["bus__write_data"] = address, word
            model.tick()
        model["bus__write"], model["commit"] = 0, 1
        model.tick()
        model["commit"] = 0
        for _ in range(20):
            high = {source: int(rng.random() < 0.3) for source in sources}
            for side in Side:
                model[f"side_in__{side}"] = sum(high[SideWire(side, w)] << w for w in range(3))
            model["local_in"] = high[LocalWire(0)] | high[LocalWire(1)] << 1
            model.tick()
            for out in outputs:
                name, bit = (
                    (f"side_out__{out.side}", out.wire) if isinstance(out, SideWire) else ("local_out", out.index)
                )
                assert model[name] >> bit & 1 == (high[chosen[out]] if out in chosen else 0), out
