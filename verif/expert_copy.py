"""A copy of an expert to HBM on the RTL of a socket, from DDR or from a second tier as slow as a host link.

A host link is a socket whose second tier has a fraction of DDR's bandwidth; the rest is the same, the command and the
first beats included.
"""

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from coe_mapping.commands import command
from coe_mapping.device import Device
from coe_mapping.experts.on_device import copy_command
from coe_mapping.experts.runtime import Transfer
from hdl.host.format import Opcode
from hdl.memory.channel import Tier
from hdl.params import RDUParams
from verif.experts_on_board import LIMIT_S, CountingMachine, busy
from verif.generation import MARK, tell
from verif.machine import BLOCKS, board_name, board_sources
from verif.sim import run_bench


def slower(params: RDUParams, ratio: float) -> tuple[int, int]:
    """Beats of a second tier with DDR's bandwidth over ``ratio``."""
    ddr = params.memory.ddr
    share = Fraction(*ddr.beats) / Fraction(ratio)
    return share.numerator, share.denominator


def copy_cycles(params: RDUParams, size: int, ratio: float = 1.0) -> int:
    """Of a copy of ``size`` bytes, on a socket under cocotb whose second tier is ``ratio`` times as slow as DDR.

    Raises:
        SimulationError: the simulation failed, or a byte is wrong.
    """
    found: list[int] = []

    def show(line: str) -> None:
        if line.startswith(MARK):
            found.append(json.loads(line.removeprefix(MARK))["cycles"])

    beats = slower(params, ratio)
    run_bench(
        "verif.benches.board",
        name=board_name(params.name),
        parameters={"preset": params.name, "job": f"{__name__}:run", "options": {"bytes": size}, "ddr_beats": beats},
        sources=board_sources(params),
        blocks=BLOCKS,
        timeout_s=LIMIT_S,
        show=show,
    )
    return found[0]


def run(machine: CountingMachine, options: Mapping[str, Any]) -> None:
    """Copies ``options["bytes"]`` from the second tier to HBM; tells the ``cycles`` that the tier DMA took."""
    size = options["bytes"]
    device, before = Device(machine, machine.params.memory.hbm.capacity - Device.SCRATCH), busy(machine)
    content = np.random.default_rng(5).integers(0, 256, size, np.uint8)
    device.write(Tier.DDR.base, content)
    device.run([copy_command(Transfer(Tier.DDR.base, 0, size)), command(Opcode.WAIT_DMA)])
    wrong = np.flatnonzero(device.read(0, size) != content)
    assert not len(wrong), f"byte {wrong[0]} of the copy is wrong, the first of {len(wrong)}"
    tell("copied", cycles=busy(machine) - before)
