"""Configuration and status of an AGCU: the layout that assembler, golden model, hardware and documentation share."""

import enum
from functools import cache

from amaranth.lib import data

from hdl.config import STATUS_BASE, word_count
from hdl.control.counters import chain_layout
from hdl.params import MEMORY_ADDRESS_BITS, SCALAR_BITS, AGCUParams, RDUParams, require
from hdl.pmu.config import REGISTERS, alu_layout, register_layout

SEGMENT_WORDS = 3
"""Words of one entry of the segment table: two of base, one of limit. An argument is whole words."""

STREAM_BITS = 3  # of the number of a stream in a fault; sizes of a fault do not depend on those of the AGCU
SEGMENT_BITS = 4


class Cause(enum.Enum):
    """Why an access was refused, the first that applies; MEMORY: the memory answered with an error."""

    NONE = 0
    MISALIGNED = 1
    PERMISSION = 2
    OUTSIDE = 3
    MEMORY = 4


class Status(enum.IntEnum):
    """Status words, counted from ``start``: cycles and events, and stall cycles by cause."""

    BUSY = 0  # cycles from start to done
    BURSTS_READ = 1  # requests sent
    BEATS_READ = 2
    BURSTS_WRITTEN = 3
    BEATS_WRITTEN = 4
    MOST_IN_FLIGHT = 5  # most bursts that were not yet answered at a time
    WAIT_REQUEST = 6  # the memory did not take a request
    WAIT_TAG = 7  # a burst had no tag: too many under way
    WAIT_DATA = 8  # a store had an address and no data
    WAIT_OUTPUT = 9  # loaded data had no room in the output queue
    WAIT_TOKEN = 10  # an access waited for a token
    WAIT_FENCE = 11  # an access waited for the answers to writes
    WAIT_SCALAR = 12  # an iteration waited for a scalar input
    ERRORS = 13  # flags, see Error
    FAULT = 14  # a byte each: cause, stream, segment, whether it was a store
    FAULT_ADDRESS = 15  # offset within the segment


class Error(enum.IntFlag):
    """Sticky error flags since ``start``."""

    TOKEN_LOST = 1  # a token came to a full counter


def streams(agcu: AGCUParams) -> int:
    """Number of streams: the loads come first, then the stores."""
    return agcu.loads + agcu.stores


def fault_layout() -> data.StructLayout:
    """The first refused access: ``address`` is its offset within ``segment``."""
    return data.StructLayout(
        {
            "valid": 1,
            "cause": Cause,
            "stream": STREAM_BITS,
            "segment": SEGMENT_BITS,
            "write": 1,
            "address": SCALAR_BITS,
        }
    )


def fault_word_layout() -> data.StructLayout:
    """The status word ``FAULT``."""
    return data.StructLayout({"cause": 8, "stream": 8, "segment": 8, "write": 8})


def segment_layout() -> data.StructLayout:
    """``SEGMENT_WORDS`` words: byte address of the first granule, and the bytes from there on."""
    unused = 2 * SCALAR_BITS - MEMORY_ADDRESS_BITS
    return data.StructLayout({"base": MEMORY_ADDRESS_BITS, "unused": unused, "limit": SCALAR_BITS})


def stream_layout(agcu: AGCUParams) -> data.StructLayout:
    """What loads and stores have in common."""
    register = range(REGISTERS)
    return data.StructLayout(
        {
            "enable": 1,
            "chain": chain_layout(agcu.COUNTERS, agcu.SCALAR_INPUTS),
            "registers": data.ArrayLayout(register_layout(agcu.COUNTERS), REGISTERS),
            "alu": data.ArrayLayout(alu_layout(), agcu.alu_stages),
            "address": register,
            "limit": data.StructLayout({"enable": 1, "register": register}),
            "bit": data.StructLayout({"enable": 1, "register": register, "position": range(SCALAR_BITS)}),
            "segment": range(agcu.segments),
            "step": SCALAR_BITS,
            "fence": data.StructLayout({"enable": 1, "boundary": range(agcu.COUNTERS + 1)}),
        }
    )


def load_layout(agcu: AGCUParams) -> data.StructLayout:
    sequence = data.StructLayout({"enable": 1, "register": range(REGISTERS)})
    return data.StructLayout({"access": stream_layout(agcu), "sequence": sequence, "scalar": 1})


def store_layout(agcu: AGCUParams) -> data.StructLayout:
    return data.StructLayout({"access": stream_layout(agcu), "source": range(agcu.SCALAR_INPUTS + 1)})


def events_layout(agcu: AGCUParams) -> dict[str, data.ArrayLayout]:
    """Who uses scalars and tokens, and where: ``stream`` k + 1 at a boundary of its counters."""
    place = {"stream": range(streams(agcu) + 1), "boundary": range(agcu.COUNTERS + 1)}
    event, token = data.StructLayout(place), data.StructLayout({**place, "carried": 1})
    return {
        "scalar_in": data.ArrayLayout(event, agcu.SCALAR_INPUTS),
        "scalar_out": data.ArrayLayout(event, agcu.SCALAR_OUTPUTS),
        "token_in": data.ArrayLayout(token, agcu.TOKENS),
        "token_out": data.ArrayLayout(token, agcu.TOKENS),
    }


@cache
def part_layout(params: RDUParams, number: int) -> data.StructLayout:
    """What stream ``number`` sees of the configuration: its own part, the segment it names, the events."""
    agcu = params.agcu
    own = load_layout(agcu) if number < agcu.loads else store_layout(agcu)
    segment = {"base": MEMORY_ADDRESS_BITS, "limit": SCALAR_BITS, "permitted": 1}
    return data.StructLayout({"own": own, "segment": data.StructLayout(segment), **events_layout(agcu)})


@cache
def agcu_layout(params: RDUParams) -> data.StructLayout:
    """Everything a program sets; the segment table stands first.

    Raises:
        ParameterError: the sizes make more words than a unit may have, or leave a stream without a burst of its own.
    """
    agcu = params.agcu
    layout = data.StructLayout(
        {
            "segments": data.ArrayLayout(segment_layout(), agcu.segments),
            "readable": agcu.segments,
            "writable": agcu.segments,
            "loads": data.ArrayLayout(load_layout(agcu), agcu.loads),
            "stores": data.ArrayLayout(store_layout(agcu), agcu.stores),
            **events_layout(agcu),
        }
    )
    require(
        word_count(layout) <= STATUS_BASE,
        f"AGCU: {agcu.loads} load and {agcu.stores} store streams of {agcu.alu_stages} ALU stages and {agcu.segments} "
        f"segments take {word_count(layout)} configuration words, a unit has {STATUS_BASE}: have fewer",
    )
    require(
        agcu.outstanding >= streams(agcu),
        f"AGCU: {agcu.outstanding} bursts in flight are fewer than its {streams(agcu)} streams: one would starve",
    )
    return layout
