"""Deliberate defects of the PMU, each small and plausible, and the test that must notice it."""

from verif.defects import Defect

RANDOM = "tests/test_pmu.py::test_200_random_programs_equal_the_golden_model_under_random_stalls"
DIRECTED = "tests/test_pmu.py::test_directed_programs_equal_numpy_and_keep_their_rates"
ECC = "tests/test_pmu.py::test_a_flipped_bit_in_memory_is_corrected_and_counted_and_two_are_reported"
CODE = "tests/test_ecc.py::test_rtl_equals_golden_on_every_value_with_every_pattern_of_up_to_two_flips"
TOKEN = "tests/test_tokens.py::test_tokens_are_neither_made_nor_lost"
REGION = "tests/test_tokens.py::test_every_lane_asks_for_its_own_bank_and_never_for_a_row_outside_the_region"
HANDOVER = "tests/test_tokens.py::test_a_buffer_is_free_or_full_or_held_by_one_side_whatever_the_timing"

DEFECTS = [
    Defect(
        "division forgets the increment", "hdl/pmu/alu.py", "Mux(config.increment, config.constant, 0)", "0", RANDOM
    ),
    Defect("compare of addresses is unsigned", "hdl/pmu/alu.py", "a.as_signed() < b.as_signed()", "a < b", RANDOM),
    Defect("a stage selects the other way", "hdl/pmu/alu.py", "Mux(c, a, b)", "Mux(c, b, a)", RANDOM),
    Defect("the chain is cut one stage late", "hdl/pmu/alu.py", "self.split == k, ", "self.split + 1 == k, ", RANDOM),
    Defect(
        "the range includes its upper end",
        "hdl/pmu/address.py",
        "address < config.range.high",
        "address <= config.range.high",
        DIRECTED,
    ),
    Defect("a negative lane limit means all lanes", "hdl/pmu/address.py", "Mux(negative, 0, ", "Mux(0, 0, ", RANDOM),
    Defect(
        "the address is not bounded above",
        "hdl/pmu/address.py",
        "item.beyond.eq(relative[lanes + low :].any())",
        "item.beyond.eq(0)",
        RANDOM,
    ),
    Defect(
        "the last row of a region is refused", "hdl/pmu/access.py", "row >= self.end", "row + 1 >= self.end", RANDOM
    ),
    Defect(
        "lanes rotate the wrong way on reading",
        "hdl/pmu/lanes.py",
        "return _rotated(banks, start, 1)",
        "return _rotated(banks, start, -1)",
        DIRECTED,
    ),
    Defect(
        "an unaligned access stays in its row",
        "hdl/pmu/access.py",
        "down.eq((item.column + i)[lane_bits(params) :])",
        "down.eq(0)",
        DIRECTED,
    ),
    Defect(
        "a dropped read sends a beat",
        "hdl/pmu/pmu.py",
        "align.taken.eq(read.o.valid & read.o.ready & read.o.payload.kept)",
        "align.taken.eq(read.o.valid & read.o.ready)",
        RANDOM,
    ),
    Defect(
        "a reader may go before the buffer is full",
        "hdl/pmu/access.py",
        "buffer.eq(~item.events.acquire | self.buffer_available)",
        "buffer.eq(1)",
        DIRECTED,
    ),
    Defect(
        "a buffer is handed over as its first access begins",
        "hdl/pmu/pmu.py",
        "other.o.valid & other.o.ready & other.o.payload.events.release",
        "other.taken.acquire",
        DIRECTED,
    ),
    Defect(
        "tokens are not awaited",
        "hdl/pmu/access.py",
        "(item.events.wait & self.tokens) == item.events.wait",
        "1",
        RANDOM,
    ),
    Defect(
        "one side always wins a conflict",
        "hdl/pmu/banks.py",
        "m.d.sync += turn.eq(~turn)",
        "m.d.sync += turn.eq(0)",
        DIRECTED,
    ),
    Defect(
        "a conflict goes unseen",
        "hdl/pmu/banks.py",
        "write.enable & read.enable & (write.group == read.group)",
        "0",
        DIRECTED,
    ),
    Defect(
        "FP32 halves are swapped on reading",
        "hdl/pmu/align.py",
        "word_select(second, lanes * ELEMENT_BITS)",
        "word_select(~second, lanes * ELEMENT_BITS)",
        RANDOM,
    ),
    Defect(
        "half a vector is stored early",
        "hdl/pmu/align.py",
        "complete = ~self.config.convert | second",
        "complete = ~self.config.convert | ~second",
        RANDOM,
    ),
    Defect(
        "a popped scalar stays",
        "hdl/pmu/issue.py",
        "scalar.ready.eq(chain.limits[j].ready | popped)",
        "scalar.ready.eq(chain.limits[j].ready)",
        RANDOM,
    ),
    Defect(
        "the output queue has a place too many",
        "hdl/pmu/align.py",
        "Credits(self.depth)",
        "Credits(self.depth + 2)",
        RANDOM,
    ),
    Defect("ECC corrects the neighbour", "hdl/ecc.py", "odd & (syndrome == p)", "odd & (syndrome == p ^ 1)", CODE),
    Defect(
        "a double flip passes for a single",
        "hdl/pmu/banks.py",
        "self.detected[b].eq(decoded.detected & stages[-1][b])",
        "self.detected[b].eq(0)",
        ECC,
    ),
    Defect(
        "a token is lost when one is taken",
        "hdl/control/tokens.py",
        "self.put & ~(self.take & self.available) & ~self.count.all()",
        "self.put & ~self.take & ~self.count.all()",
        TOKEN,
    ),
    Defect(
        "the ring has a buffer too few",
        "hdl/pmu/buffers.py",
        "left.eq(self.buffers - 1)",
        "left.eq(self.buffers - 2)",
        HANDOVER + "[3]",
    ),
    Defect(
        "an address beyond the memory wraps into the region",
        "hdl/pmu/access.py",
        "item.beyond | (row >= self.end)",
        "row >= self.end",
        REGION,
    ),
    Defect(
        "the sum of rows wraps",
        "hdl/pmu/access.py",
        'Signal(len(down) + 2, name=f"whole_row_{i}")',
        'Signal(row_bits(params), name=f"whole_row_{i}")',
        REGION,
    ),
    Defect(
        "an FP32 vector counts two sequence ids",
        "hdl/pmu/pmu.py",
        "taken & uses_ids & ~second",
        "taken & uses_ids",
        RANDOM,
    ),
    Defect(
        "waiting for a sequence id is not counted",
        "hdl/pmu/pmu.py",
        "write.wait_operand | self.issues[0].wait_sequence",
        "write.wait_operand",
        DIRECTED,
    ),
    Defect(
        "the sub-array is picked by the lowest row bits always",
        "hdl/pmu/access.py",
        "group.eq(row[shift : shift + bits])",
        "group.eq(row[:bits])",
        RANDOM,
    ),
    Defect(
        "a bit field is one bit too wide",
        "hdl/pmu/alu.py",
        "width.eq(Cat(config.width > i for",
        "width.eq(Cat(config.width >= i for",
        DIRECTED,
    ),
]
