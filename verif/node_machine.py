"""The RTL of a node as a machine for the driver: sockets of one compiled board, each with its registers and memory."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coe_mapping.node import links_status, refusal
from golden_model.launch import Error
from hdl.arith.lfsr_params import WIDTH
from hdl.link.config import link_sizes
from hdl.params import RDUParams
from verif.machine import BLOCKS, STALL_LIMIT, RTLMachine, board_sources
from verif.models.memory import JITTER_BITS
from verif.models.node_board import NodeBoard, memory_prefix
from verif.sim import Ports, SimulationError, compile_python

NODE_BLOCKS = (*BLOCKS, "linkunit")


def compiled_node(params: RDUParams, *, fast: bool = False) -> Ports:
    """A board of a node under PyVerilator; ``fast``: with arithmetic in C (:mod:`verif.fast`)."""
    name = f"node_{params.name}{'_fast' if fast else ''}"
    return compile_python(
        NodeBoard(params, fast=fast), name, sources=board_sources(params, fast=fast), blocks=NODE_BLOCKS
    )


class SocketPorts:
    """One socket of a node's board with the ports of a board of its own; time is that of all."""

    def __init__(self, model: Ports, socket: int) -> None:
        self.model, self.socket = model, socket

    def _name(self, port: str) -> str:
        first, _, rest = port.partition("__")
        return f"{first}__{self.socket}__{rest}" if first == "axi" else port

    def __getitem__(self, port: str, /) -> int:
        return self.model[self._name(port)]

    def __setitem__(self, port: str, value: int, /) -> None:
        self.model[self._name(port)] = value

    def tick(self, cycles: int = 1) -> None:
        self.model.tick(cycles)

    def until(self, port: str, cycles: int, after: int = 0) -> bool:
        return self.model.until(self._name(port), cycles, after)

    def reset(self, cycles: int = 1) -> None:
        self.model.reset(cycles)

    def memory(self, region: str) -> NDArray[np.uint8]:
        return self.model.memory(f"{memory_prefix(self.socket)}{region}")

    def functions(self) -> Any:
        return self.model.functions()


class RTLNode:
    """A node in simulation; satisfies :class:`coe_mapping.node.NodeMachine`.

    Args:
        model: its board; by default under PyVerilator.
        poll: cycles between two looks at the status, while the host waits.
    """

    def __init__(self, params: RDUParams, model: Ports | None = None, *, poll: int = 200) -> None:
        self.params, self.poll = params, poll
        self.model: Ports = model or compiled_node(params)
        self.sockets = [RTLMachine(params, SocketPorts(self.model, s), poll=poll) for s in range(params.sockets)]
        self.reset()

    def reset(self, *, jitter: int = 0, seed: int = 1, errors: float = 0.0) -> None:
        """Resets the node; memory keeps its bytes. ``errors``: share of the longest packets that the wires harm."""
        model = self.model
        model["shake"] = seed << JITTER_BITS | jitter
        model["rate"] = round((1 - (1 - errors) ** (1 / link_sizes(self.params).packet_words)) * (1 << WIDTH))
        model["cut"], model["seed"], model["load"] = 0, seed, 1
        model.reset(4)
        model.tick()
        model["load"] = 0

    def cut(self, wires: int) -> None:
        """Nothing comes through the wires of this mask any more."""
        self.model["cut"] = wires

    @property
    def hits(self) -> int:
        """Words harmed since the last reset."""
        return self.model["hits"]

    @property
    def cycles(self) -> int:
        return self.sockets[0].now()

    def execute(self, commands: Mapping[int, Sequence[Sequence[int]]]) -> dict[int, Error]:
        """Commands to several sockets at once; waits for all of them, or until one fails: then all are stopped.

        Raises:
            SimulationError: a kernel is stuck; the message names units that wait, and what was refused.
        """
        for socket, words in commands.items():
            self.sockets[socket].send(words)
        busy, errors = set(commands), dict[int, Error]()
        while busy and not errors:
            for socket in sorted(busy):
                machine = self.sockets[socket]
                if machine.registers.fields("STATUS")["idle"]:
                    busy.discard(socket)
                    error = machine.error()
                    if error is not None:
                        errors[socket] = error
            if busy and not errors:
                self.model.tick(self.poll)
                self._check(busy)
        if errors:
            self._stop()
        return errors

    def _check(self, busy: Iterable[int]) -> None:
        """Refuses to wait for ever."""
        machines = [self.sockets[socket].registers for socket in busy]
        if any(not m.fields("STATUS")["running"] or m.read("STALLED") <= STALL_LIMIT for m in machines):
            return
        found = [f"socket {s} {text}" for s, m in enumerate(self.sockets) if (text := refusal(links_status(m)))]
        found += [f"on socket {s} these units wait: {', '.join(self.sockets[s].stuck())}" for s in busy]
        self._stop()
        raise SimulationError(f"{self.params.name}: the kernel is stuck; {'; '.join(found)}")

    def _stop(self) -> None:
        """Stops every socket, so that all links begin anew."""
        for machine in self.sockets:
            machine.registers.write("ABORT")
        for machine in self.sockets:
            while not machine.registers.fields("STATUS")["idle"]:
                self.model.tick(self.poll)
            machine.error()
