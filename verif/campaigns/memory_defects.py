"""Deliberate defects of the memory system, each small and plausible, and the test that must notice it."""

from verif.defects import Defect

TESTS = "tests/test_memory.py::test_"
RANDOM = TESTS + "random_traffic_reads_what_was_written_and_counters_agree_with_the_bench"
DIRECTED = TESTS + "the_network_is_fair_and_full_rate_and_the_dma_copies_halts_refuses_and_shares"
ECC = TESTS + "ecc_corrects_one_flip_reports_two_and_merges_partial_writes"
CONTROLLER = TESTS + "a_controller_works_on_the_ram_of_cocotbext_axi"
ARBITER = TESTS + "nobody_waits_for_the_arbiter_longer_than_a_round[5]"
TURN = TESTS + "neither_reads_nor_writes_wait_for_more_than_two_batches_of_the_other[3]"

DEFECTS = [
    Defect(
        "the arbiter forgets whose turn it was",
        "hdl/tln/arbiter.py",
        "self.after.eq(-self.grant & ~self.grant)",
        "self.after.eq(0)",
        ARBITER,
    ),
    Defect(
        "a packet loses its output to another",
        "hdl/tln/crossbar.py",
        "m.d.sync += inside.eq(chosen)",
        "m.d.sync += inside.eq(0)",
        RANDOM,
    ),
    Defect(
        "a burst may cross a granule",
        "hdl/tln/tln.py",
        "legal.eq(~request.address[:beat].any() & ~end[granule:].any())",
        "legal.eq(1)",
        RANDOM,
    ),
    Defect(
        "a stalled stage drops its spare",
        "hdl/tln/slice.py",
        "[spare.eq(self.i.payload), empty.eq(0)]",
        "[spare.eq(self.i.payload), empty.eq(1)]",
        RANDOM,
    ),
    Defect(
        "a read overtakes the write before it",
        "hdl/memory/controller.py",
        "c.writes.hit | ~c.reads.room",
        "~c.reads.room",
        CONTROLLER,
    ),
    Defect(
        "a write overtakes the read before it",
        "hdl/memory/controller.py",
        "request.last & (c.reads.hit | ~c.writes.room)",
        "request.last & ~c.writes.room",
        CONTROLLER,
    ),
    Defect(
        "an acknowledgement goes into a burst",
        "hdl/memory/controller.py",
        "acknowledge.eq(axi.bvalid & ~within)",
        "acknowledge.eq(axi.bvalid)",
        CONTROLLER,
    ),
    Defect(
        "every write is a batch of its own",
        "hdl/memory/turn.py",
        "(self.short | writing)",
        "1",
        DIRECTED,
    ),
    Defect(
        "a direction may issue for ever",
        "hdl/memory/turn.py",
        "spent = streak == self.limit",
        "spent = streak > self.limit",
        TURN,
    ),
    Defect(
        "addresses of writes wait for the data of those before",
        "hdl/memory/controller.py",
        "Mux(c.merging, merged & (owed == 0), ~entry.partial)",
        "Mux(c.merging, merged, ~entry.partial) & (owed == 0)",
        DIRECTED,
    ),
    Defect(
        "data go before their address",
        "hdl/memory/controller.py",
        "move.eq((owed != 0) & data_free",
        "move.eq(data_free",
        CONTROLLER,
    ),
    Defect(
        "a merge hides a double flip",
        "hdl/memory/controller.py",
        "checks(value, self.words) ^ poison",
        "checks(value, self.words)",
        ECC,
    ),
    Defect(
        "a partial write is not merged",
        "hdl/memory/controller.py",
        "keep = ~beat.strobe[e] & c.merging",
        "keep = 0",
        ECC,
    ),
    Defect(
        "the DMA ignores its share",
        "hdl/memory/dma.py",
        "self.enough.eq(purse >= price)",
        "self.enough.eq(1)",
        DIRECTED,
    ),
    Defect(
        "the DMA is quiet with writes in flight",
        "hdl/memory/dma.py",
        "(reading == 0) & (writing == 0) & (sent == 0)",
        "(reading == 0) & (sent == 0)",
        DIRECTED,
    ),
    Defect(
        "the destination's granule does not cut bursts",
        "hdl/memory/dma.py",
        "least = Mux(room[0] < room[1], room[0], room[1])",
        "least = room[0]",
        DIRECTED,
    ),
    Defect(
        "a DMA burst that failed is written",
        "hdl/memory/dma.py",
        "with m.If(came & ~spoiled & ~answer.payload.error):",
        "with m.If(came):",
        DIRECTED,
    ),
]
