"""A copy from HBM to HBM through a whole socket: AGCUs, network and memory system, compiled and launched as any kernel.

Program and arguments lie in DDR, so that HBM's counters count the copy and nothing else.
"""

from dataclasses import dataclass

import numpy as np

from coe_mapping.compile import compile_program
from coe_mapping.device import Device
from coe_mapping.kernels.copy import copy_kernel
from hdl.memory.channel import Tier
from hdl.memory.counters import ChannelCounter
from hdl.memory.system import counter_blocks
from hdl.params import RDUParams
from verif import measure
from verif.machine import RTLMachine

SHARE_BYTES = 1 << 16
PROGRAM, SCRATCH = Tier.DDR.base, Tier.DDR.base + (1 << 18)


@dataclass(frozen=True)
class Copy:
    """What a copy took: ``cycles`` from the start until the last AGCU was done; ``beats`` read and written, by all
    channels of HBM together; ``longest``: the longest latency of a request, cycles."""

    cycles: int
    beats: int
    longest: int

    def utilisation(self, params: RDUParams) -> float:
        """Of HBM's bandwidth."""
        return self.beats * params.beat_bytes / measure.hbm_bytes_per_cycle(params) / self.cycles


def copy_through_socket(machine: RTLMachine, share_bytes: int = SHARE_BYTES) -> Copy:
    """Every AGCU copies ``share_bytes``, all at once, from reset.

    Raises:
        AssertionError: a byte is wrong; or the counters of the channels, those of the AGCUs and the size of the copy do
            not agree on how many beats moved.
    """
    params = machine.params
    kernel = copy_kernel(params, share_bytes)
    compiled = compile_program(params, kernel.program, kernel.bindings)
    machine.reset()
    device, total = Device(machine, SCRATCH), kernel.shares * share_bytes
    content = np.random.default_rng(3).integers(0, 256, total, np.uint8)
    device.write(0, content)
    addresses = {f"from{k}": k * share_bytes for k in range(kernel.shares)}
    addresses |= {f"to{k}": total + k * share_bytes for k in range(kernel.shares)}
    program = device.store_program(compiled.bitstream, PROGRAM)
    device.load(program)
    before = _counted(machine)
    device.launch(program, compiled.at(addresses))
    counted = [after - first for after, first in zip(_counted(machine), before, strict=True)]
    wrong = np.flatnonzero(device.read(total, total) != content)
    assert not len(wrong), f"byte {wrong[0]} of the copy is wrong, the first of {len(wrong)}"
    agcus = list(measure.units(device, compiled))
    moved = sum(unit["fires"] for unit in agcus)
    each = total // params.beat_bytes
    assert counted == [each, each], f"HBM counted {counted} beats read and written, the copy has {each}"
    assert moved == 2 * each, f"the AGCUs counted {moved} beats, the copy has {2 * each}"
    longest = max(_hbm(machine, ChannelCounter.LATENCY_MAX))
    return Copy(max(unit["busy"] for unit in agcus), sum(counted), longest)


def _counted(machine: RTLMachine) -> list[int]:
    """Beats read and beats written by HBM."""
    return [sum(_hbm(machine, word)) for word in (ChannelCounter.BEATS_READ, ChannelCounter.BEATS_WRITTEN)]


def _hbm(machine: RTLMachine, word: ChannelCounter) -> list[int]:
    """A counter of every channel."""
    blocks = [b for b, name in enumerate(counter_blocks(machine.params)) if name.startswith("hbm")]
    return [machine.counter(block, word) for block in blocks]
