"""Measures the memory system: how fast the back door is, how much of a tier's bandwidth the DMA and AGCUs get."""

import time
from dataclasses import replace

import numpy as np

from coe_mapping.assembler.agcu import Access, AGCUProgram, Counter, Load, Register, Segment, Store, assemble
from hdl.memory.counters import ChannelCounter
from hdl.memory.dma import DESCRIPTOR, FULL_SHARE
from hdl.memory.system import BLOCK_BITS, counter_blocks
from hdl.params import TEST, MemoryParams, RDUParams, TierParams
from verif.benches.copy import CopyMachine
from verif.benches.memory import ModelledMemory
from verif.models import SOURCES
from verif.models.memory import MemoryModel
from verif.sim import compile_python

MIB = 1 << 20


def backdoor_256mib_s() -> float:
    """Seconds to load 256 MiB into the model's DDR and read them back, the median of three simulations."""
    tiny = TierParams(channels=1, capacity=1 << 12)
    params = MemoryParams(hbm=tiny, ddr=TierParams(channels=1, capacity=256 * MIB))
    model = MemoryModel(_machine("backdoor", params))
    data = np.random.default_rng(1).integers(0, 256, 256 * MIB, np.uint8)
    seconds = []
    for _ in range(3):
        simulation = compile_python(model, "memory_model", sources=SOURCES)
        start = time.perf_counter()
        simulation.memory("ddr")[:] = data
        same = (simulation.memory("ddr") == data).all()
        seconds.append(time.perf_counter() - start)
        assert same, "the back door gave other bytes than it took"
    return sorted(seconds)[1]


def dma_ddr_utilisation(params: RDUParams, size: int = 1 << 18) -> float:
    """Of DDR's bandwidth, in a copy of ``size`` bytes from DDR to HBM, alone, from its start to its completion.

    Raises:
        AssertionError: the copy is wrong.
    """
    simulation = compile_python(ModelledMemory(params, 1), f"memory_{params.name}", sources=SOURCES)
    simulation.reset()
    source, destination = simulation.memory("ddr"), simulation.memory("hbm")
    source[:size] = np.random.default_rng(2).integers(0, 256, size, np.uint8)
    job = {"source": 1 << 36, "destination": 0, "row_bytes": size, "rows": 1, "share": FULL_SHARE}
    simulation["descriptor__payload"] = DESCRIPTOR.const(job).as_bits()
    simulation["descriptor__valid"] = 1
    simulation.tick(2)
    simulation["descriptor__valid"] = 0
    cycles = 2
    while not simulation["completion__valid"]:
        simulation.tick()
        cycles += 1
        assert cycles < 1000 + 1000 * size // params.beat_bytes, "the copy does not end"
    assert simulation["completion__payload"] == 0
    assert (source[:size] == destination[:size]).all(), "the copy is wrong"
    ddr = params.memory.ddr
    return size / params.beat_bytes / cycles / (ddr.channels * ddr.beats[0] / ddr.beats[1])


def copy_hbm_utilisation(params: RDUParams, agcus: int, size: int = 1 << 16) -> float:
    """Of HBM's bandwidth, while each AGCU copies ``size`` bytes: from the start to the last answer to a write.

    Raises:
        AssertionError: the copy is wrong, or the counters of the channels are not what the bench counted.
    """
    simulation = compile_python(CopyMachine(params, agcus), f"copy_{params.name}", sources=SOURCES, blocks=["agcu"])
    simulation.reset()
    hbm, total = simulation.memory("hbm"), agcus * size
    hbm[:total] = np.random.default_rng(3).integers(0, 256, total, np.uint8)
    for k in range(agcus):
        for address, word in enumerate(assemble(params, _copier(params, k * size, total + k * size, size))):
            simulation["unit"], simulation["address"], simulation["write_data"] = k, address, word
            simulation["write"] = 1
            simulation.tick()
    simulation["write"] = 0
    for pulse in ("commit", "start"):
        simulation[pulse] = 1
        simulation.tick()
        simulation[pulse] = 0
    cycles, beats = 0, 2 * total // params.beat_bytes
    while simulation["running"]:
        simulation.tick()
        cycles += 1
        assert cycles < 1000 + 10 * beats, "the copy does not end"
    assert not simulation["fault"]
    assert (hbm[total : 2 * total] == hbm[:total]).all(), "the copy is wrong"
    blocks = [b for b, name in enumerate(counter_blocks(params)) if name.startswith("hbm")]
    counted = 0
    for block in blocks:
        for counter in (ChannelCounter.BEATS_READ, ChannelCounter.BEATS_WRITTEN):
            simulation["counter__index"] = block << BLOCK_BITS | counter
            simulation.tick()
            counted += simulation["counter__value"]
    assert counted == simulation["beats"] == beats, f"counters {counted}, bench {simulation['beats']}, moved {beats}"
    gain, price = params.memory.hbm.beats
    return beats * price / (cycles * len(blocks) * gain)


def _copier(params: RDUParams, source: int, destination: int, size: int) -> AGCUProgram:
    """Loads ``size`` bytes from ``source`` and stores what comes back at ``destination``."""
    vectors = Counter(size // params.beat_bytes, stride=params.beat_bytes)
    access = Access(0, counters=(vectors,), registers=(Register(counters=(0,)),))
    segments = Segment(source, size, read=True), Segment(destination, size, write=True)
    return AGCUProgram(segments, (Load(access),), (Store(replace(access, segment=1)),))


def _machine(name: str, memory: MemoryParams) -> RDUParams:
    return replace(TEST, name=name, memory=memory)
