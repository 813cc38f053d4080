"""The driver of a node: programs that span sockets, launched on all of them, whatever carries them out.

A node runs one program at a time: it is launched when every socket is done with the one before. Then nothing of that is
under way any more, for the unit in which a stream ends has taken all of it; and what comes early for a socket that has
not started yet waits where its link ends (``docs/node.md``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from coe_mapping.bitstream import Argument, argument_words
from coe_mapping.commands import command
from coe_mapping.device import Device, DeviceError, GoldenMachine, Loaded, Machine, fault_of
from coe_mapping.spanning import Spanning
from golden_model.fabric import Data, End, FabricError
from golden_model.launch import Error
from golden_model.node import Node, Refused
from golden_model.socket import At
from hdl.fields import Fields, form
from hdl.floorplan import floorplan
from hdl.host.format import Opcode
from hdl.link.config import status_names
from hdl.link.layout import Refusal, address_layout
from hdl.params import RDUParams

Commands = Sequence[Sequence[int]]


class NodeMachine(Protocol):
    """What executes commands on several sockets at once."""

    params: RDUParams

    @property
    def sockets(self) -> Sequence[Machine]:
        """Each by itself."""
        ...

    def execute(self, commands: Mapping[int, Commands]) -> dict[int, Error]:
        """Commands of several sockets, until all are done, or one fails: then all are stopped. Errors by socket."""
        ...


class NodeDevice:
    """The sockets of a node, and what a program does with them.

    ``sockets``: the driver of each. ``scratch``: as of :class:`~coe_mapping.device.Device`, in each.
    """

    def __init__(self, machine: NodeMachine, scratch: int) -> None:
        self.machine, self.scratch = machine, scratch
        self.sockets = [Device(socket, scratch) for socket in machine.sockets]

    def store_program(self, spanning: Spanning, address: int) -> dict[int, Loaded]:
        """Puts the bitstream of each socket into its memory."""
        return {s: self.sockets[s].store_program(c.bitstream, address) for s, c in spanning.sockets.items()}

    def load(self, programs: Mapping[int, Loaded]) -> None:
        """Program load on every socket."""
        self.run({s: [command(Opcode.LOAD, address=program.address)] for s, program in programs.items()})

    def launch(
        self, programs: Mapping[int, Loaded], arguments: Mapping[int, Mapping[Argument, int]] | None = None
    ) -> None:
        """Argument load and kernel execute on every socket, until all are done."""
        commands: dict[int, list[Sequence[int]]] = {}
        for s, program in programs.items():
            tiles = sum(1 << tile for tile in program.bitstream.tiles)
            commands[s] = [command(Opcode.EXECUTE, tiles=tiles), command(Opcode.WAIT, tiles=tiles)]
            values = (arguments or {}).get(s)
            if values:
                words = argument_words(program.bitstream, values)
                self.sockets[s].write(self.scratch, np.array(words, "<u4").tobytes())
                commands[s].insert(0, command(Opcode.ARGUMENTS, address=self.scratch, count=len(words)))
        self.run(commands)

    def links(self, socket: int) -> Mapping[str, int]:
        """Status words of a socket's links, by name (:func:`hdl.link.config.status_names`)."""
        return links_status(self.sockets[socket].machine)

    def run(self, commands: Mapping[int, Commands]) -> None:
        """Commands from the host.

        Raises:
            DeviceError: of the first socket that failed; all were stopped.
        """
        for socket, error in sorted(self.machine.execute(commands).items()):
            raise DeviceError(f"socket {socket}: {self.sockets[socket].sentence(error)}", error)


def links_status(machine: Machine) -> Mapping[str, int]:
    """Status words of the links of a socket by name."""
    names = status_names(machine.params)
    return dict(zip(names, machine.status(floorplan(machine.params).links.number, len(names)), strict=True))


def refusal(status: Mapping[str, int]) -> str:
    """What a socket refused, in words; nothing if it took all."""
    if not status["refused"]:
        return ""
    address: Any = Fields(form(address_layout()), status["refused_address"])
    reason = {
        Refusal.PROGRAM: f"for program {address.program}, which does not run there",
        Refusal.ROUTE: "without a way",
    }
    return (
        f"refused {status['refused']} vectors, the first from socket {address.source} to socket {address.destination} "
        f"{reason[Refusal(status['refused_reason'])]}"
    )


class GoldenNode:
    """The golden sockets behind their sequencers, with the links between them.

    - ``streams``: what left every output in the kernels that ran last, units as :class:`~golden_model.socket.At`.
    - ``refused``: flows of theirs that were not delivered.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        self.sockets: list[_Part] = [_Part(params, s, self) for s in range(params.sockets)]
        self._node = Node([part.socket for part in self.sockets])
        self.streams: dict[End, Data] = {}
        self._begun: dict[int, tuple[Mapping[int, Sequence[int]], frozenset[int]]] = {}

    @property
    def refused(self) -> Sequence[Refused]:
        return self._node.refused

    def begin(self, socket: int, words: Mapping[int, Sequence[int]], active: frozenset[int]) -> None:
        """A kernel that runs when every socket has begun its own."""
        if socket in self._begun:
            raise FabricError(f"socket {socket} begins a second kernel in one call: launch one at a time on a node")
        self._begun[socket] = words, active

    def execute(self, commands: Mapping[int, Commands]) -> dict[int, Error]:
        self._begun = {}
        found = {socket: self.sockets[socket].execute(words) for socket, words in commands.items()}
        errors = {socket: error for socket, error in found.items() if error is not None}
        if not errors and self._begun:
            self.streams = {}
            try:
                self.streams = self._node.run(self._begun)
            except FabricError as error:
                errors = _stopped(error)
        if errors:
            for part in self.sockets:
                part.abort()
        return errors


def _stopped(error: FabricError) -> dict[int, Error]:
    """The access that was refused, and the socket whose it was.

    Raises:
        FabricError: it was no access.
    """
    found = fault_of(error)
    unit = error.fault[0] if error.fault else None
    assert isinstance(unit, At)
    return {unit.socket: found}


class _Part(GoldenMachine):
    """One of the sockets: a kernel waits for those of the others."""

    def __init__(self, params: RDUParams, number: int, node: GoldenNode) -> None:
        super().__init__(params, number)
        self._number, self._of = number, node

    def begin(self, words: Mapping[int, Sequence[int]], active: frozenset[int]) -> None:
        self._of.begin(self._number, words, active)
