"""The links of a socket as one of its units: configured, started and cleared like the others. Composition only."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.config import COMMIT, ConfigRegisters, config_port
from hdl.link.config import FAULT_BITS, link_sizes, links_layout, lost_layout, status_names
from hdl.link.layout import Fault, wire_signature
from hdl.link.mesh_port import MeshPort
from hdl.link.peer_link import COUNTERS
from hdl.link.peers import Peers
from hdl.params import SCALAR_BITS, RDUParams
from hdl.rdn.config import Fabric, switch_sizes
from hdl.rdn.link import link_signature


class LinkUnit(wiring.Component):
    """Peer links, what joins them, and for each channel a port west of the mesh.

    - ``mesh_in``, ``mesh_out``: of each channel, flits that leave the mesh and that enter it.
    - ``wires_out``, ``wires_in``: of each link.
    - ``bus``, ``commit``: configuration. ``start``: pulse; from then until ``done``, a level, or ``clear`` the program
      runs, and what comes for it is taken. What comes while none runs waits where its link ends, so that its credits
      stay there too: a socket that starts early waits for one that starts late.
    - ``clear``: pulse, forgets configuration, program and all that is under way, also on the links; the peers notice.
    - ``lost``: level, a link was given up while a program ran that uses them. A link that was given up starts
      anew as soon as none does.
    - Every output comes from a register.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        sizes, link = link_sizes(params), params.link
        mesh = link_signature(switch_sizes(params, Fabric.VECTOR, 0))
        super().__init__(
            {
                "mesh_in": In(mesh).array(link.channels),
                "mesh_out": Out(mesh).array(link.channels),
                "wires_out": Out(wire_signature(sizes)).array(link.links),
                "wires_in": In(wire_signature(sizes)).array(link.links),
                "bus": In(config_port()),
                "commit": In(COMMIT),
                "start": In(1),
                "done": In(1),
                "clear": In(1),
                "lost": Out(lost_layout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params, cleared = self.params, ResetInserter(self.clear)
        registers = ConfigRegisters(links_layout(params), len(status_names(params)))
        m.submodules.registers = cleared(registers)
        connect(m, flipped(self.bus), registers.bus)
        m.submodules.peers = peers = Peers(link_sizes(params))
        running, dropped = Signal(), Signal(SCALAR_BITS)
        config: Any = registers.active
        m.d.sync += running.eq((running | (self.start & config.routes.running)) & ~self.done & ~self.clear)
        m.d.comb += [
            registers.commit.eq(self.commit),
            peers.config.eq(config.routes),
            peers.config.running.eq(running),
            peers.clear.eq(self.commit.take | self.clear),
        ]
        drops = []
        for c in range(params.link.channels):
            port = MeshPort(params)
            m.submodules[f"port_{c}"] = cleared(port)
            connect(m, flipped(self.mesh_in[c]), port.i)
            connect(m, port.o, flipped(self.mesh_out[c]))
            connect(m, port.send, peers.local_in[c])
            connect(m, peers.local_out[c], port.take)
            m.d.comb += port.flows.eq(config.flows[c])
            drops.append(port.dropped)
        for k in range(params.link.links):
            connect(m, peers.wires_out[k], flipped(self.wires_out[k]))
            connect(m, flipped(self.wires_in[k]), peers.wires_in[k])
        m.d.sync += dropped.eq(Mux(self.commit.take, 0, dropped + Cat(drops).any()))
        self._give_up(m, peers, running)
        m.d.comb += registers.status.eq(Cat(self._status(peers, dropped)))
        return m

    def _give_up(self, m: Module, peers: Any, running: Value) -> None:
        """A fault stops the program that runs; one that meets none is forgotten."""
        faults = [fault != Fault.NONE for fault in peers.fault]
        m.d.comb += peers.link_clear.eq(Mux(self.clear, -1, Mux(running, 0, Cat(faults))))
        m.d.sync += self.lost.valid.eq(running & Cat(faults).any() & ~self.clear)
        for k, fault in reversed(list(enumerate(peers.fault))):
            with m.If(faults[k]):
                m.d.sync += [self.lost.link.eq(k), self.lost.fault.eq(fault)]

    def _status(self, peers: Any, dropped: Value) -> list[Value]:
        """In the order of :func:`~hdl.link.config.status_names`, each as wide as a word."""
        refused = peers.refused
        faults = Cat(Cat(Value.cast(fault), Const(0, FAULT_BITS))[:FAULT_BITS] for fault in peers.fault)
        words = [peers.up, faults, refused.count, refused.reason, refused.address, dropped]
        words += [counts[name] for counts in peers.counts for name in COUNTERS]
        return [Cat(Value.cast(word), Const(0, SCALAR_BITS))[:SCALAR_BITS] for word in words]
