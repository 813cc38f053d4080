"""Deliberate defects of the host block, each small and plausible, and the test that must notice it."""

from verif.defects import Defect

LISTS = "tests/test_launch.py::test_random_command_lists_leave_what_the_golden_model_leaves"
DONE = "tests/test_launch.py::test_a_tile_is_not_done_before_its_slowest_unit"
SHADOW = "tests/test_launch.py::test_the_next_program_loads_while_this_one_runs_and_runs_after_it"
TURNS = "tests/test_launch.py::test_two_programs_take_turns_and_are_loaded_once"
EXCHANGE = "tests/test_config.py::test_an_exchange_keeps_every_bit_of_what_was_active"
STOP = "tests/test_launch.py::test_a_stop_forgets_the_active_program_too[True]"
ZERO = "tests/test_launch.py::test_what_a_program_does_not_mention_is_zero_after_its_load"
CHANGED = "tests/test_launch.py::test_a_program_that_changes_between_check_and_load_is_refused_and_its_tiles_hold_none"
STRAY = "tests/test_launch.py::test_a_record_that_changes_between_check_and_load_is_not_written_to_another_tile"
RATE = "tests/test_host.py::test_a_program_loads_at_a_cycle_a_word_in_each_reading"
FAULT = "tests/test_launch.py::test_a_fault_stops_the_tiles_started_together_and_no_other"
ABORT = "tests/test_launch.py::test_an_abort_at_any_time_leaves_a_machine_that_works"
DROPPED = "tests/test_launch.py::test_commands_queued_behind_an_error_are_dropped_until_it_is_acknowledged"
ARRIVAL = "tests/test_launch.py::test_commands_come_out_in_order_each_its_latency_after_its_push[7]"
DAMAGE = "tests/test_bitstream.py::test_200_corruptions_are_refused_before_a_unit_is_touched_or_are_harmless"
RULES = "tests/test_bitstream.py::test_every_defect_is_refused_by_the_machine_and_touches_nothing"
WINDOW = "tests/test_host.py::test_the_window_reads_and_writes_any_run_of_words"
WIDTH = "tests/test_host.py::test_words_come_and_go_in_order_whatever_the_width_of_memory[16-2]"
ACCESS = "tests/test_host.py::test_every_register_allows_what_its_description_says_and_nothing_else"
AXI = "tests/test_host.py::test_the_port_works_under_the_master_of_cocotbext_axi"

DEFECTS = [
    Defect(
        "an answer does not wait for the host",
        "hdl/host/port.py",
        "queue.take.eq(ready)",
        "queue.take.eq(1)",
        AXI,
    ),
    Defect(
        "the first pass writes too",
        "hdl/host/loader.py",
        "with m.If(second & ~misfit):",
        "with m.If(~misfit):",
        DAMAGE,
    ),
    Defect(
        "a record that became wrong is written from",
        "hdl/host/loader.py",
        "with m.If(second & ~misfit):",
        "with m.If(second):",
        STRAY,
    ),
    Defect(
        "a load has too few bursts in flight",
        "hdl/host/sequencer.py",
        "WordPort(units.params, covering_slots(units.params))",
        "WordPort(units.params)",
        RATE,
    ),
    Defect(
        "the checksum is not looked at",
        "hdl/host/loader.py",
        "intact.eq(word == checksum(crc))",
        "intact.eq(1)",
        DAMAGE,
    ),
    Defect(
        "a record may be one word too long",
        "hdl/host/loader.py",
        "% STATUS_BASE + record.count > limit",
        "% STATUS_BASE + record.count > limit + 1",
        RULES,
    ),
    Defect(
        "a record may be for a tile outside the mask",
        "hdl/host/loader.py",
        "~table.known | ~self.tiles.bit_select(table.slot.tile, 1)",
        "~table.known",
        RULES,
    ),
    Defect(
        "the number of records is not compared",
        "hdl/host/loader.py",
        "program & (records != header.records)",
        "0",
        RULES,
    ),
    Defect(
        "the length may be one too many",
        "hdl/host/loader.py",
        "header.words > self._units.longest",
        "header.words > self._units.longest + 1000",
        RULES,
    ),
    Defect(
        "half of the hash is compared",
        "hdl/host/loader.py",
        "header.parameters != parameter_hash(params)",
        "header.parameters[:32] != parameter_hash(params) & 0xFFFF_FFFF",
        RULES,
    ),
    Defect(
        "words of the last program stay",
        "hdl/host/config_network.py",
        'unit.write.eq(write & (this | bus["all"]))',
        'unit.write.eq(write & this & ~bus["all"])',
        ZERO,
    ),
    Defect(
        "a change between the passes goes unseen",
        "hdl/host/loader.py",
        "                with m.Elif(~intact):",
        "                with m.Elif(~intact & ~second):",
        CHANGED,
    ),
    Defect(
        "done with the first unit",
        "hdl/host/config_network.py",
        "self.link.control.done.eq(going & (running == 0) & ~start)",
        "self.link.control.done.eq(going & self.dones.any())",
        DONE,
    ),
    Defect(
        "execute does not commit",
        "hdl/host/sequencer.py",
        "link.commit.take.eq(mine)",
        "link.commit.take.eq(0)",
        SHADOW,
    ),
    Defect(
        "every execute exchanges",
        "hdl/host/sequencer.py",
        "link.commit.keep.eq(mine & execute.keep)",
        "link.commit.keep.eq(mine)",
        LISTS,
    ),
    Defect(
        "the shadow does not take what was active",
        "hdl/config.py",
        "Mux(exchange, active.word_select(i, SCALAR_BITS), self.bus.write_data)",
        "self.bus.write_data",
        TURNS,
    ),
    Defect(
        "an exchange loses the bits beyond the layout",
        "hdl/config.py",
        "Mux(exchange, active.word_select",
        "Mux(exchange, self.active.as_value().word_select",
        EXCHANGE,
    ),
    Defect(
        "a tile stays loaded after an exchange with nothing",
        "hdl/host/sequencer.py",
        "Mux(execute.keep, begun & ~held, 0)",
        "0",
        LISTS,
    ),
    Defect(
        "a tile is not loaded after an exchange with a program",
        "hdl/host/sequencer.py",
        "Mux(execute.keep, begun & ~held, 0)",
        "Mux(execute.keep, begun, 0)",
        LISTS,
    ),
    Defect(
        "a cleared tile still holds its active program",
        "hdl/host/sequencer.py",
        "held.eq((held | begun) & ~stopper.clear)",
        "held.eq(held | begun)",
        STOP,
    ),
    Defect(
        "a loop runs once too often",
        "hdl/host/sequencer.py",
        "with m.Elif(loop == jump.times):",
        "with m.Elif(loop > jump.times):",
        LISTS,
    ),
    Defect(
        "a loop counter is not wound back",
        "hdl/host/sequencer.py",
        "                    m.d.sync += loop.eq(0)\n",
        "                    m.d.sync += loop.eq(loop)\n",
        LISTS,
    ),
    Defect("a fault stops all tiles", "hdl/host/stop.py", "self.groups[t] | 1 << t", "-1", FAULT),
    Defect(
        "a cleared tile counts as loaded",
        "hdl/host/sequencer.py",
        "Mux(loader.touch, loader.tiles, 0) | emptied | stopper.clear",
        "Mux(loader.touch, loader.tiles, 0) | emptied",
        ABORT,
    ),
    Defect(
        "commands after an error run",
        "hdl/host/sequencer.py",
        "with m.Elif(error.code != 0):\n                    m.d.comb += self.flush.eq(1)",
        "with m.Elif(0):\n                    m.d.comb += self.flush.eq(1)",
        DROPPED,
    ),
    Defect(
        "a command arrives early",
        "hdl/host/mailbox.py",
        "max(0, self.latency - 1)",
        "max(0, self.latency - 2)",
        ARRIVAL,
    ),
    Defect(
        "answers are handed out as they come",
        "hdl/host/words.py",
        "write.addr.eq(response.payload.tag * beats + arrived)",
        "write.addr.eq(full.bit_select(0, 1) * beats + arrived)",
        WINDOW,
    ),
    Defect(
        "the first word of a beat is always the lowest",
        "hdl/host/words.py",
        "                word.eq(control.address[sizes.word_low : sizes.beat_low]),\n                beat.eq(0),",
        "                word.eq(0),\n                beat.eq(0),",
        WIDTH,
    ),
    Defect("a write leaves its strobes behind", "hdl/host/words.py", "                present.eq(0),\n", "", WINDOW),
    Defect(
        "part of a word is written",
        "hdl/host/port.py",
        "with m.If(w.front.strobe.all()):",
        "with m.If(w.front.strobe.any()):",
        ACCESS,
    ),
]
