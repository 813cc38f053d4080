"""The bandwidth model of programs that span sockets: one program with several memories, and slow streams in between."""

from dataclasses import replace

from coe_mapping.bandwidth.launch import PASSES, SAMPLES, Launch
from coe_mapping.bandwidth.network import Crossing
from coe_mapping.bandwidth.prediction import Prediction
from coe_mapping.bandwidth.timing import Timing
from coe_mapping.program import Port, Program, Stream, UnitProgram
from coe_mapping.spanning import SpanningProgram
from hdl.link.config import link_sizes
from hdl.params import RDUParams
from hdl.rdn.config import Fabric


def predict_spanning(
    params: RDUParams,
    spanning: SpanningProgram,
    *,
    timing: Timing | None = None,
    samples: int = SAMPLES,
    passes: int = PASSES,
) -> Prediction:
    """What a launch takes on all sockets, all started at once; as :func:`coe_mapping.bandwidth.predict`.

    Streams from one socket to another share a link that moves full packets; what passes through a socket is not seen.
    """
    merged, sockets = _merged(spanning)
    launch = Launch(params, merged, (), timing or Timing(), samples, sockets)
    link = link_sizes(params)
    interval, latency = link.packet_words / params.link.packet, link.packet_words + params.link.latency + link.ANSWER
    ways: dict[tuple[int, int], Crossing] = {}
    for stream in merged.streams:
        for sink in stream.sinks:
            here, there = sockets[stream.source.unit], sockets[sink.unit]
            if here != there:
                way = ways.setdefault((here, there), Crossing(interval, latency))
                launch.net.crossings[(stream.fabric, stream.source), (stream.fabric, sink)] = way
    return launch.predict(passes)


def _merged(spanning: SpanningProgram) -> tuple[Program, dict[str, int]]:
    """All sockets as one program, and where each of its units is."""

    def at(socket: int, port: Port) -> Port:
        return replace(port, unit=f"{socket}/{port.unit}")

    units, streams, sockets = dict[str, UnitProgram](), list[Stream](), dict[str, int]()
    for socket, program in spanning.sockets.items():
        units |= {f"{socket}/{name}": unit for name, unit in program.units.items()}
        sockets |= {f"{socket}/{name}": socket for name in program.units}
        for stream in program.streams:
            sinks = tuple(at(socket, sink) for sink in stream.sinks)
            streams.append(replace(stream, source=at(socket, stream.source), sinks=sinks))
    for peer in spanning.streams:
        sinks = tuple(at(*sink) for sink in peer.sinks)
        streams.append(Stream(Fabric.VECTOR, at(*peer.source), sinks, weight=peer.weight))
    return Program(units, tuple(streams), spanning.name), sockets
