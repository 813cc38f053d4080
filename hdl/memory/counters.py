"""What a channel counts, as 32-bit words that wrap: the difference of two readings is right."""

import enum

from amaranth.lib import data

from hdl.params import SCALAR_BITS


class ChannelCounter(enum.IntEnum):
    """Counters of one channel, in the order of their words.

    A request's latency is from its being taken by the channel to its last response's leaving.
    """

    BUSY = 0  # cycles with a request in the channel
    REQUESTS = 1  # answered
    BEATS_READ = 2
    BEATS_WRITTEN = 3
    LATENCY_SUM = 4  # of the requests answered, cycles
    LATENCY_MAX = 5  # cycles
    TURNAROUNDS = 6  # changes between issuing reads and issuing writes
    CORRECTED = 7  # words read with one bit flipped
    DETECTED = 8  # words read with more


class DMACounter(enum.IntEnum):
    """Counters of the tier DMA, in the order of their words."""

    BUSY = 0  # cycles with a descriptor
    BEATS = 1  # written
    DESCRIPTORS = 2  # completed, well or not


def counters_layout(counters: type[enum.IntEnum]) -> data.StructLayout:
    """One word a counter, by its name in small letters."""
    return data.StructLayout({counter.name.lower(): SCALAR_BITS for counter in counters})
