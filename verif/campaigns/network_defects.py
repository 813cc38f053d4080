"""Deliberate defects of the network, each small and plausible, and the test that must notice it."""

from verif.defects import Defect

MESH = "tests/test_rdn_mesh.py::test_random_streams_under_random_stalls_arrive_complete_and_in_order"
FULL = "tests/test_rdn_mesh.py::test_one_stream_fills_a_link_between_tiles_with_a_flit_every_cycle"
SWITCH = "tests/test_rdn_switch.py::"
LINK = "tests/test_rdn_proofs.py::test_every_place_of_a_channel_is_free_on_its_way_or_taken_and_none_overflows"
FAIR = "tests/test_rdn_proofs.py::test_whoever_asks_loses_at_most_to_each_other_once"

DEFECTS = [
    Defect(
        "a credit is lost when a flit leaves as one comes back",
        "hdl/rdn/link.py",
        "with m.If(self.take[c] & ~self.give[c]):",
        "with m.If(self.take[c]):",
        LINK,
    ),
    Defect(
        "a credit too many",
        "hdl/rdn/link.py",
        "Signal(range(depth + 1), init=depth,",
        "Signal(range(depth + 2), init=depth + 1,",
        LINK,
    ),
    Defect(
        "the credit comes back as the flit becomes the head",
        "hdl/rdn/inputs.py",
        "taken, moved = Cat(channel.taken for channel in channels)",
        "taken, moved = Cat(channel.push for channel in channels)",
        MESH,
    ),
    Defect(
        "a multicast flit leaves with its first branch",
        "hdl/rdn/channel.py",
        "self.taken.eq(self.valid & (left == 0))",
        "self.taken.eq(self.valid & (Value.cast(self.moved).any() | (left == 0)))",
        SWITCH + "test_a_blocked_branch_of_a_multicast_does_not_keep_the_flit_from_the_others",
    ),
    Defect(
        "a branch gets the flit again",
        "hdl/rdn/channel.py",
        "places.eq(left)]",
        "places.eq(places)]",
        SWITCH + "test_a_blocked_branch_of_a_multicast_does_not_keep_the_flit_from_the_others",
    ),
    Defect(
        "a flit that meets an empty channel takes a cycle more",
        "hdl/rdn/channel.py",
        "(waiting | self.push)",
        "waiting",
        SWITCH + "test_a_flit_takes_two_cycles_from_link_to_link_and_gets_its_new_flow_id",
    ),
    Defect(
        "the winner keeps its place",
        "hdl/rdn/arbiter.py",
        "before.eq(before & ~self.grant | others)",
        "before.eq(before)",
        FAIR,
    ),
    Defect(
        "those behind the winner are not brought forward",
        "hdl/rdn/arbiter.py",
        "before & ~self.grant | others",
        "before | others",
        FAIR,
    ),
    Defect(
        "every side gets the flow id of the north",
        "hdl/rdn/switch.py",
        "link.flit.flow.eq(chosen(grant, [unit.offer.flows[side] for unit in inputs]))",
        "link.flit.flow.eq(chosen(grant, [unit.offer.flows[0] for unit in inputs]))",
        SWITCH + "test_a_flit_takes_two_cycles_from_link_to_link_and_gets_its_new_flow_id",
    ),
    Defect(
        "dynamic flits go along the column first",
        "hdl/rdn/channel.py",
        "Side.EAST: destination.column > here.column,",
        "Side.EAST: (destination.column > here.column) & (destination.row == here.row),",
        SWITCH + "test_dynamic_flits_go_along_the_row_first_then_along_the_column",
    ),
    Defect(
        "the bits that choose are one too low",
        "hdl/rdn/inputs.py",
        "channel.tag.eq(selector >> self.config.dynamic.shift)",
        "channel.tag.eq((selector << 1) >> self.config.dynamic.shift)",
        SWITCH + "test_two_bits_of_the_word_choose_where_a_dynamic_flit_goes[9]",
    ),
    Defect(
        "a throttled source rests a cycle less",
        "hdl/rdn/inputs.py",
        "m.d.sync += rest.eq(self.config.throttle)",
        "m.d.sync += rest.eq(Mux(self.config.throttle == 0, 0, self.config.throttle - 1))",
        SWITCH + "test_a_throttled_source_rests_as_long_as_it_is_told",
    ),
    Defect(
        "a local input stops at one flit",
        "hdl/rdn/inputs.py",
        "self.stream.ready.eq(now != self.DEPTH)",
        "self.stream.ready.eq(now == 0)",
        SWITCH + "test_a_unit_reaches_the_link_and_another_unit_in_two_cycles_at_one_a_cycle",
    ),
    Defect(
        "a local output is overwritten while its unit waits",
        "hdl/rdn/switch.py",
        "room.locals[k].eq(~out.valid | out.ready)",
        "room.locals[k].eq(1)",
        MESH,
    ),
    Defect(
        "the pipe between tiles drops a credit",
        "hdl/rdn/link.py",
        "next_credit.eq(credit)]",
        "next_credit.eq(credit & ~valid.replicate(len(credit)))]",
        FULL,
    ),
    Defect(
        "a sleeping switch does not wake for a credit",
        "hdl/rdn/sleeper.py",
        "*(link.credit for links in (self.side_in, self.side_out) for link in links),",
        "",
        MESH,
    ),
    Defect(
        "an error is not flagged",
        "hdl/rdn/switch.py",
        "errors.eq(errors | dropped)",
        "errors.eq(errors)",
        SWITCH + "test_a_flit_without_a_route_is_dropped_and_flagged_and_blocks_nothing",
    ),
    Defect(
        "the last token stays on its wire",
        "hdl/rdn/tokens.py",
        "with m.If(sources.any() | outputs.any()):",
        "with m.If(sources.any()):",
        SWITCH + "test_every_token_output_follows_the_wire_it_is_told_one_cycle_later",
    ),
]
