"""One packet-switched fabric of a socket with random traffic at every port: loaded, run and checked from Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from golden_model.rdn import Choice, Endpoint, Network, Route
from hdl.arith.lfsr_params import WIDTH
from hdl.clock_gate import CELL
from hdl.config import STATUS_BASE, config_port
from hdl.floorplan import Side, floorplan
from hdl.once import once
from hdl.params import RDUParams
from hdl.rdn.config import Fabric, local_inputs, local_outputs, status_names, switch_sizes
from hdl.rdn.grid import Node, crosses_tiles, neighbour
from hdl.rdn.link import LinkPipe
from hdl.rdn.sleeper import SleepingSwitch
from hdl.rdn.switch import Switch
from verif.benches.rdn_traffic import (
    ALWAYS,
    CHOICE_BITS,
    COUNT_BITS,
    RATE_BITS,
    SOURCE_BITS,
    TrafficSink,
    TrafficSource,
)
from verif.sim import compile_python

STREAMS = 1 << (SOURCE_BITS + CHOICE_BITS)
NUMBER_BITS = 10
FLAGS = ("--inline-mult", "1")  # switches stay functions of their own: half the build, and quicker


@cache
def sources_of(params: RDUParams, fabric: Fabric) -> tuple[Endpoint, ...]:
    """Unit outputs of the whole socket, by number."""
    return _ports(params, fabric, local_inputs)


@cache
def sinks_of(params: RDUParams, fabric: Fabric) -> tuple[Endpoint, ...]:
    """Unit inputs of the whole socket, by number."""
    return _ports(params, fabric, local_outputs)


def _ports(params: RDUParams, fabric: Fabric, ports: Any) -> tuple[Endpoint, ...]:
    nodes = [(place.row, place.column) for place in floorplan(params).of(fabric.value)]
    return tuple(Endpoint(*node, port.kind, port.index) for node in nodes for port in ports(params, fabric, node[1]))


class TrafficMesh(wiring.Component):
    """The switches of one fabric, joined, with a sender at every local input and a receiver at every local output.

    - ``bus``, ``node``: the configuration bus of switch number ``node``; ``commit`` is for all.
    - ``select``, ``set_rate``, ``set_choices``: sets those of sender number ``select``; receivers share ``sink_rate``.
    - ``gated``: the switches sleep when they have nothing to do.
    - ``stream``: read ``count`` of receiver ``select``, and the other outputs of sender or receiver ``select``.
    """

    def __init__(self, params: RDUParams, fabric: Fabric, gated: bool = False) -> None:
        self.params, self.fabric, self.gated = params, fabric, gated
        senders = {"sent": Out(32), "made": Out(32)}
        receivers = {name: Out(32) for name in ("count", "taken", "wrong", "measured", "delay", "slowest")}
        super().__init__(
            {
                "bus": In(config_port()),
                "node": In(NUMBER_BITS),
                "commit": In(1),
                "select": In(NUMBER_BITS),
                "set": In(1),
                "set_rate": In(RATE_BITS),
                "set_choices": In(1),
                "sink_rate": In(RATE_BITS),
                "seed": In(WIDTH),
                "run": In(1),
                "clear": In(1),
                "measure": In(1),
                "stream": In(SOURCE_BITS + CHOICE_BITS),
                **senders,
                **receivers,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        now = Signal(16)
        m.d.sync += now.eq(now + 1)
        nodes = [(place.row, place.column) for place in floorplan(self.params).of(self.fabric.value)]
        kind = SleepingSwitch if self.gated else Switch
        switches = {node: once(kind, switch_sizes(self.params, self.fabric, node[1])) for node in nodes}
        for number, (node, switch) in enumerate(switches.items()):
            m.submodules[f"switch_{node[0]}_{node[1]}"] = switch
            m.d.comb += [switch.row.eq(node[0]), switch.column.eq(node[1])]
            m.d.sync += [  # through registers: the inputs of a unit change after a rising edge
                switch.commit.eq(self.commit),
                switch.bus.address.eq(self.bus.address),
                switch.bus.write_data.eq(self.bus.write_data),
                switch.bus.write.eq(self.bus.write & (self.node == number)),
            ]
        m.d.comb += self.bus.read_data.eq(Array(switch.bus.read_data for switch in switches.values())[self.node])
        self._join(m, switches)
        self._senders(m, switches, now)
        self._receivers(m, switches, now)
        return m

    def _join(self, m: Module, switches: Mapping[Node, Any]) -> None:
        """Neighbours, with registers where a tile ends; links at the edge of the mesh stay idle."""
        sizes = switch_sizes(self.params, self.fabric, 0)
        for node, switch in switches.items():
            for side in Side:
                other = neighbour(self.params, node, side)
                if other is not None:
                    crosses = crosses_tiles(self.params, node, other)
                    pipe = LinkPipe(sizes, self.params.rdn.die_latency if crosses else 0)
                    m.submodules[f"link_{node[0]}_{node[1]}_{side.name.lower()}"] = pipe
                    connect(m, switch.side_out[side], pipe.sender)
                    connect(m, pipe.receiver, switches[other].side_in[side.opposite])

    def _senders(self, m: Module, switches: Mapping[Node, Any], now: Signal) -> None:
        sizes = switch_sizes(self.params, self.fabric, 0)
        streams = [stream for switch in switches.values() for stream in switch.local_in]
        senders = []
        for number, stream in enumerate(streams):
            m.submodules[f"sender_{number}"] = sender = once(TrafficSource, sizes)
            connect(m, sender.out, stream)
            rate, choices = Signal(RATE_BITS, name=f"rate_{number}"), Signal(name=f"choices_{number}")
            with m.If(self.set & (self.select == number)):
                m.d.sync += [rate.eq(self.set_rate), choices.eq(self.set_choices)]
            m.d.comb += [
                sender.number.eq(number),
                sender.rate.eq(rate),
                sender.choices.eq(choices),
                sender.seed.eq(self.seed),
                sender.run.eq(self.run),
                sender.clear.eq(self.clear),
                sender.now.eq(now),
            ]
            senders.append(sender)
        m.d.comb += [
            self.sent.eq(Array(sender.sent[self.stream[:CHOICE_BITS]] for sender in senders)[self.select]),
            self.made.eq(Array(sender.made for sender in senders)[self.select]),
        ]

    def _receivers(self, m: Module, switches: Mapping[Node, Any], now: Signal) -> None:
        sizes = switch_sizes(self.params, self.fabric, 0)
        streams = [stream for switch in switches.values() for stream in switch.local_out]
        receivers = []
        for number, stream in enumerate(streams):
            m.submodules[f"receiver_{number}"] = receiver = once(TrafficSink, sizes)
            connect(m, stream, receiver.i)
            m.d.comb += [
                receiver.rate.eq(self.sink_rate),
                receiver.seed.eq(self.seed + (number + 1) * 0x1357),
                receiver.clear.eq(self.clear),
                receiver.measure.eq(self.measure),
                receiver.now.eq(now),
                receiver.stream.eq(self.stream),
            ]
            receivers.append(receiver)
        for name in ("count", "taken", "wrong", "measured", "delay", "slowest"):
            chosen = Array(getattr(receiver, name) for receiver in receivers)[self.select]
            m.d.comb += getattr(self, name).eq(chosen)


@dataclass(frozen=True)
class Verdict:
    """What a run came to: flits sent, deliveries checked, and in sentences what was wrong with them."""

    sent: int
    delivered: int
    wrong: tuple[str, ...]


class MeshBench:
    """A compiled :class:`TrafficMesh`."""

    QUIET = 400  # cycles without a delivery after which the network is taken to be empty, or stuck

    def __init__(self, params: RDUParams, fabric: Fabric, gated: bool = False) -> None:
        self.params, self.fabric = params, fabric
        self.sources, self.sinks = sources_of(params, fabric), sinks_of(params, fabric)
        assert len(self.sources) <= 1 << SOURCE_BITS
        self.places = floorplan(params).of(fabric.value)
        mesh = TrafficMesh(params, fabric, gated)
        self.model = compile_python(mesh, "traffic_mesh", flags=FLAGS, sources=(CELL,) if gated else ())

    def load(self, words: Mapping[int, Sequence[int]], network: Network, seed: int) -> None:
        """Resets everything and configures the switches; senders with a route may send, to all their destinations."""
        model = self.model
        model["run"] = model["measure"] = 0
        model["clear"], model["seed"] = 1, seed & 0xFFFF_FFFF
        model.reset()
        model.tick(STREAMS)
        model["clear"] = 0
        for node, place in enumerate(self.places):
            model["node"], model["bus__write"] = node, 1
            for address, word in enumerate(words.get(place.number, ())):
                model["bus__address"], model["bus__write_data"] = address, word
                model.tick()
        model["bus__write"], model["commit"] = 0, 1
        model.tick()
        model["commit"] = 0
        self.routes = network.streams(self.fabric)

    def rates(self, rates: Mapping[Endpoint, float], sink: float = 1.0) -> None:
        """Flits a cycle that senders make (0 if left out), and that receivers take."""
        model = self.model
        model["sink_rate"], model["set"] = round(sink * ALWAYS), 1
        for number, source in enumerate(self.sources):
            route = self.routes.get(source)
            model["select"], model["set_choices"] = number, isinstance(route, Choice)
            model["set_rate"] = round(rates.get(source, 0.0) * ALWAYS) if route else 0
            model.tick()
        model["set"] = 0

    def run(self, cycles: int) -> None:
        self.model["run"] = 1
        self.model.tick(cycles)

    def drain(self, limit: int = 400_000) -> None:
        """Stops the senders and waits until nothing arrives any more."""
        self.model["run"] = 0
        taken, cycles = -1, 0
        while (now := self.total("taken")) != taken and cycles < limit:
            taken, cycles = now, cycles + self.QUIET
            self.model.tick(self.QUIET)

    def verdict(self) -> Verdict:
        """After :meth:`drain`: whether everything that was sent has come where it should, once and in order."""
        sent = {(s, c): self.sent(s, c) for s in range(len(self.sources)) for c in range(1 << CHOICE_BITS)}
        wrong: list[str] = []
        for number, sink in enumerate(self.sinks):
            self.model["select"] = number
            if self.model["wrong"]:
                wrong.append(f"{sink} got {self.model['wrong']} flits out of order, harmed, or against the rules")
            for (s, c), count in sent.items():
                due = self._due(self.sources[s], c, sink)
                if count or due:
                    wrong += self._compare(number, s, c, count if due else 0)
        waiting = self.total("made", len(self.sources)) - sum(sent.values())
        if waiting:
            wrong.append(f"{waiting} flits never left their senders")
        return Verdict(sum(sent.values()), self.total("taken"), tuple(wrong))

    def _due(self, source: Endpoint, choice: int, sink: Endpoint) -> bool:
        route = self.routes.get(source)
        if isinstance(route, Route):
            return sink in route.ends
        return route is not None and route.ends[choice] == sink

    def _compare(self, sink: int, source: int, choice: int, expected: int) -> list[str]:
        self.model["stream"] = source << CHOICE_BITS | choice
        got = self.model["count"]
        if got == expected % (1 << COUNT_BITS):
            return []
        return [f"{self.sinks[sink]} got {got} of {expected} flits from {self.sources[source]}, choice {choice}"]

    def sent(self, source: int, choice: int) -> int:
        self.model["select"], self.model["stream"] = source, choice
        return self.model["sent"]

    def total(self, name: str, count: int | None = None) -> int:
        """The sum of an output over all receivers, or ``count`` senders."""
        total = 0
        for number in range(len(self.sinks) if count is None else count):
            self.model["select"] = number
            total += self.model[name]
        return total

    def wrong(self) -> int:
        """Flits that came out of order, harmed, or against the rules of streams."""
        return self.total("wrong")

    def latency(self) -> tuple[float, int, int]:
        """(mean cycles from making to taking, the slowest, flits) of what was taken while ``measure``."""
        slowest = 0
        for number in range(len(self.sinks)):
            self.model["select"] = number
            slowest = max(slowest, self.model["slowest"])
        count = self.total("measured")
        return self.total("delay") / max(count, 1), slowest, count

    def stuck(self) -> list[str]:
        """After :meth:`drain`: inputs of switches that hold flits that do not move, in sentences."""
        nodes = [(place.row, place.column) for place in self.places]
        before = {node: self.status(node) for node in nodes}
        self.model.tick(self.QUIET)
        return [
            f"flits from {name.removeprefix('stalled_')} do not move at row {node[0]}, column {node[1]}"
            for node in nodes
            for name, count in self.status(node).items()
            if name.startswith("stalled") and count >= before[node][name] + self.QUIET
        ]

    def status(self, node: Node) -> dict[str, int]:
        """The status words of a switch by name."""
        names = status_names(switch_sizes(self.params, self.fabric, node[1]))
        numbers = [(place.row, place.column) for place in self.places]
        self.model["node"] = numbers.index(node)
        values = {}
        for i, name in enumerate(names):
            self.model["bus__address"] = STATUS_BASE + i
            self.model.tick(2)  # one to the switch, one in it
            values[name] = self.model["bus__read_data"]
        return values
