"""The RTL of a socket as a machine for the driver: a compiled board, its registers, its memory by the back door."""

from collections.abc import Sequence
from pathlib import Path

from coe_mapping.registers import Registers
from golden_model.fabric import Data, End
from golden_model.launch import Error
from hdl.clock_gate import CELL
from hdl.host.errors import ErrorCode
from hdl.host.format import COMMAND_WORDS
from hdl.memory.channel import Tier
from hdl.params import RDUParams
from hdl.unit_map import unit_map
from verif.benches.host import AxiLite
from verif.fast import sources as fast_sources
from verif.models import SOURCES
from verif.models.backdoor import Bytes
from verif.models.board import Board
from verif.models.memory import JITTER_BITS, region_name
from verif.sim import Ports, SimulationError, compile_python
from verif.taps import Taps, tap_sources

BLOCKS = (
    *("sleeping_pcu", "sleeping_pmu", "sleeping_agcu", "sleepingswitch", "sleeping_token_switch"),
    "memorysystem",
)
"""Modules of a board that are compiled once each."""

STALL_LIMIT = 20_000
"""Cycles without a beat of memory or a start after which a kernel counts as stuck."""


def board_sources(params: RDUParams, *, fast: bool = False) -> tuple[Path, ...]:
    """What a board is built with besides its own Verilog; ``fast``: one with arithmetic in C (:mod:`verif.fast`)."""
    return (*SOURCES, CELL, *(fast_sources(params.pcu) if fast else ()))


def board_name(preset: str, *, fast: bool = False) -> str:
    """Of the board under cocotb."""
    return f"board_{preset}{'_fast' if fast else ''}_cocotb"


def compiled_board(params: RDUParams, *, tapped: bool = False, waves: bool | None = None) -> Ports:
    """A board under PyVerilator; ``tapped``: one that records all streams between units (:mod:`verif.taps`)."""
    sources = (*board_sources(params), *(tap_sources(params) if tapped else ()))
    return compile_python(Board(params), f"board_{params.name}", sources=sources, blocks=BLOCKS, waves=waves)


class RTLMachine:
    """A socket in simulation.

    Args:
        model: its board; by default under PyVerilator.
        tapped: records all streams between units; for a ``model`` that was built with taps.
        jitter: a mask 2**n - 1: memory commands wait up to so many cycles more, by ``seed``.
        poll: cycles between two looks at the status, while the host waits.
    """

    def __init__(
        self,
        params: RDUParams,
        model: Ports | None = None,
        *,
        tapped: bool = False,
        jitter: int = 0,
        seed: int = 1,
        waves: bool | None = None,
        poll: int = 200,
    ) -> None:
        self.params, self.poll, self.tapped = params, poll, tapped
        self.model: Ports = model or compiled_board(params, tapped=tapped, waves=waves)
        self.cycles = 0
        self.reset(jitter=jitter, seed=seed)

    def reset(self, *, jitter: int = 0, seed: int = 1) -> None:
        """Resets the machine; memory keeps its bytes."""
        self.model["shake"] = seed << JITTER_BITS | jitter
        self.model.reset(4)
        self.registers = Registers(AxiLite(self.model))
        if self.tapped:
            self.streams()

    def tier(self, number: int) -> Bytes:
        return self.model.memory(region_name(Tier(number)))

    def execute(self, commands: Sequence[Sequence[int]]) -> Error | None:
        self.send(commands)
        while not self.registers.fields("STATUS")["idle"]:
            self._wait()
        self.cycles = self.now()
        return self.error()

    def send(self, commands: Sequence[Sequence[int]]) -> None:
        """Commands from the host, which does not wait for them."""
        for words in commands:
            while not self.registers.fields("STATUS")["room"]:
                self._wait()
            assert len(words) == COMMAND_WORDS
            for i, word in enumerate(words):
                self.registers.write(f"COMMAND_{i}", word)
            self.registers.write("DOORBELL")

    def streams(self) -> dict[End, Data]:
        """What left every unit since the last call or reset, which forgets it.

        Raises:
            ParameterError: the machine has no taps.
        """
        recorded = Taps(self.params, self.model.functions())
        streams = recorded.streams()
        recorded.clear()
        return streams

    def status(self, unit: int, count: int) -> list[int]:
        return [self.peek(unit, 128 + i) for i in range(count)]

    def copying(self) -> bool:
        return self.registers.fields("STATUS")["copies"] > 0

    def counter(self, block: int, word: int) -> int:
        """Of the memory system (``hdl.memory.system.counter_blocks``)."""
        self.registers.set("COUNTER", word=word, block=block)
        return self.registers.read("COUNTER_VALUE")

    def count_always(self) -> None:
        """Cycles count from now on while the machine is idle, too."""
        self.registers.set("CONTROL", count=1)

    def peek(self, unit: int, address: int) -> int:
        """A word of a unit over the configuration bus."""
        self.registers.set("PEEK", unit=unit, address=address)
        return self.registers.read("PEEK_DATA")

    def _wait(self) -> None:
        self.model.tick(self.poll)
        if self.registers.read("STALLED") > STALL_LIMIT:
            raise SimulationError(
                f"{self.params.name}: the kernel is stuck; these units wait: {', '.join(self.stuck())}"
            )

    def stuck(self) -> list[str]:
        """Compute units that were started and are not done, with their status words."""
        units = unit_map(self.params)
        names = []
        for tile in range(self.params.tiles):
            count = units.slots[units.tile_unit(tile)].size.status
            running = sum(word << 32 * i for i, word in enumerate(self.status(units.tile_unit(tile), count)))
            for i, place in enumerate(units.compute):
                if running >> i & 1:
                    number = place.number + tile * units.per_tile
                    size = units.slots[number].size.status
                    names.append(f"{units.name(number)} {self.status(number, size)}")
        return names

    def now(self) -> int:
        """Cycles since reset."""
        low = self.registers.read("CYCLES_LOW")
        return self.registers.read("CYCLES_HIGH") << 32 | low

    def error(self) -> Error | None:
        code = self.registers.read("ERROR")
        if not code:
            return None
        low, high = self.registers.read("ERROR_ADDRESS_LOW"), self.registers.read("ERROR_ADDRESS_HIGH")
        error = Error(
            ErrorCode(code), self.registers.read("ERROR_UNIT"), high << 32 | low, self.registers.read("ERROR_DETAIL")
        )
        self.registers.write("ERROR")
        return error
