"""The top-level network of a socket: whoever uses memory on one side, the channels of HBM and DDR on the other."""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from hdl.memory.channel import Tier, channel_port, channel_request, tag_bits, tier_map
from hdl.memory.port import memory_port, response_layout
from hdl.params import TAG_BITS, TIER_SHIFT, RDUParams, require
from hdl.tln.crossbar import Crossbar
from hdl.tln.nowhere import Nowhere


class TLN(wiring.Component):
    """Joins ``requesters`` memory ports to every channel, by two crossbars: requests one way, responses the other.

    - ``requesters``: memory ports. ``hbm``, ``ddr``: one port a channel, with the channel's own addresses and the
      requester's index above its tag.
    - Latency: 2 cycles each way. Throughput: one flit a cycle, each way, at every port.
    - Fair: round robin between the requests that wait for a channel, and between the channels that answer a requester.
    - Order: requests of one requester reach one channel in order. Between channels there is none: wait for the
      response.
    - A burst that has begun is finished before another goes the same way, so a requester sends the flits of a write
      without waiting for anything, and takes its responses without waiting for anything.
    - A request whose address is nowhere (no such tier, beyond the capacity), not aligned to a beat, or whose burst
      crosses a granule, reaches no channel and is answered with ``error``: all beats of a read, the one of a write.
    """

    def __init__(self, params: RDUParams, requesters: int) -> None:
        require(1 <= requesters <= 64, f"{params.name}: {requesters} requesters of memory is not in 1..64")
        self.params, self.count = params, requesters
        self.maps = {tier: tier_map(params, tier) for tier in Tier}
        self.tags = tag_bits(requesters)
        channel = channel_port(params, self.tags)
        super().__init__(
            {
                "requesters": In(memory_port(params)).array(requesters),
                "hbm": Out(channel).array(self.maps[Tier.HBM].channels),
                "ddr": Out(channel).array(self.maps[Tier.DDR].channels),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.nowhere = nowhere = Nowhere(self.params, self.tags)
        channels = [*map(flipped, self.hbm), *map(flipped, self.ddr), nowhere.port]
        count = len(channels)
        m.submodules.requests = requests = Crossbar(channel_request(self.params, self.tags), self.count, count)
        m.submodules.responses = responses = Crossbar(response_layout(self.params), count, self.count)
        for r in range(self.count):
            request = self.requesters[r].request
            m.d.comb += [
                self._localised(m, r, request.payload, requests.i[r].payload),
                requests.i[r].valid.eq(request.valid),
                request.ready.eq(requests.i[r].ready),
            ]
            connect(m, responses.o[r], flipped(self.requesters[r]).response)
        for c, channel in enumerate(channels):
            connect(m, requests.o[c], channel.request)
            m.d.comb += [
                self._returned(channel.response.payload, responses.i[c].payload),
                responses.i[c].valid.eq(channel.response.valid),
                channel.response.ready.eq(responses.i[c].ready),
            ]
        return m

    def _localised(self, m: Module, r: int, request: Any, routed_request: Any) -> list[Any]:
        """The request of requester ``r`` as channels have it, and which of them it goes to."""
        flit, target = routed_request.flit, routed_request.target
        hbm, ddr = (self._located(request.address, tier) for tier in Tier)
        beat, granule = (exact_log2(size) for size in (self.params.beat_bytes, self.params.memory.granule))
        end = request.address[beat : beat + granule] + request.length
        legal, hits = Signal(name=f"legal_{r}"), Signal(len(hbm.hits) + len(ddr.hits), name=f"hits_{r}")
        m.d.comb += [
            legal.eq(~request.address[:beat].any() & ~end[granule:].any()),
            hits.eq(Mux(legal, Cat(hbm.hits, ddr.hits), 0)),
        ]
        return [
            *(flit[name].eq(request[name]) for name in ("data", "strobe", "length", "write", "last")),
            flit.tag.eq(Cat(request.tag, Const(r, self.tags - TAG_BITS))),
            flit.address.eq(Mux(request.address[TIER_SHIFT], ddr.address, hbm.address)),
            target.eq(Cat(hits, ~hits.any())),
        ]

    def _located(self, address: Any, tier: Tier) -> "Located":
        places = self.maps[tier]
        low, high, top = places.granule_bits, places.granule_bits + places.channel_bits, places.capacity_bits
        inside = address[top:] == tier.base >> top
        hits = Cat(inside & (address[low:high] == c) for c in range(places.channels))
        return Located(hits, Cat(address[:low], address[high:top]))

    def _returned(self, response: Any, routed_response: Any) -> list[Any]:
        """The response as requesters have it, and which of them it goes to."""
        flit, target = routed_response.flit, routed_response.target
        requester = response.tag[TAG_BITS:]
        return [
            *(flit[name].eq(response[name]) for name in ("data", "write", "error", "last")),
            flit.tag.eq(response.tag),
            target.eq(Cat(requester == r for r in range(self.count))),
        ]


class Located(NamedTuple):
    """One bit a channel: it has the address; and the address within that channel."""

    hits: Value
    address: Value
