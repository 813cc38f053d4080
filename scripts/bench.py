"""``make bench``: measured speeds, each with its peer in the same run; ``--only arith`` picks one block.

Machines are shared and noisy: what counts is the median of several runs, and the ratio to a peer timed in turn with it.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from ml_dtypes import bfloat16
from rich.console import Console
from rich.table import Table

from golden_model import numerics as golden
from hdl.arith.formats import BF16, FP32
from hdl.arith.multiply_add import MultiplyAdd
from hdl.params import DEMO
from scripts import bench_experts, bench_mapping, bench_socket, bench_units
from verif import figures, memory_figures, network_traffic, operands
from verif.sim import compile_python
from verif.sources import ROOT

RUNS = 5
GEMM = 512
TRIPLES = 1_000_000


@dataclass(frozen=True)
class Row:
    """One measurement: medians of ours and of the peer, and the median of the ratios pair by pair."""

    what: str
    seconds: float
    peer: str
    peer_seconds: float
    ratio: float


def measure(what: str, ours: Callable[[], object], peer: str, theirs: Callable[[], object]) -> Row:
    """Times both in turn after one warm-up."""
    ours()
    theirs()
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(RUNS)]
    return Row(
        what,
        statistics.median(a for a, _ in pairs),
        peer,
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def arith() -> Iterator[Row | bench_units.Speed]:
    """The golden GEMM beside BLAS, which adds in any order; the multiply-add on RTL beside the golden."""
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal((GEMM, GEMM)).astype(bfloat16) for _ in range(2))
    wide_a, wide_b = a.astype(np.float32), b.astype(np.float32)
    gemm = measure(
        f"golden GEMM {GEMM}^3, BF16, sequential k, bit-exact",
        lambda: golden.gemm(a, b),
        "NumPy FP32 matmul (BLAS)",
        lambda: wide_a @ wide_b,
    )
    figures.record("golden_gemm_512_s", round(gemm.seconds, 4))
    yield gemm
    unit = MultiplyAdd()
    model = compile_python(unit, "bench_multiply_add")
    x, y, z = operands.triples(rng, TRIPLES)
    packed = operands.pack(unit.signature.members["i"].shape, a=x, b=y, c=z)
    values = golden.from_bits(x, BF16), golden.from_bits(y, BF16), golden.from_bits(z, FP32)
    yield measure(
        f"{TRIPLES:,} multiply-adds on compiled RTL",
        lambda: model.stream(packed),
        "golden model, vectorised",
        lambda: golden.multiply_add(*values),
    )


def socket() -> Iterator[Row | bench_units.Speed]:
    """The back door of the memory models, both ways, beside a plain copy; the network's curves go to a file; how fast
    a socket simulates."""
    data = np.zeros(256 << 20, np.uint8)
    seconds, copied = memory_figures.backdoor_256mib_s(), [_seconds(data.copy) for _ in range(RUNS)]
    figures.record("backdoor_256mib_s", round(seconds, 3))
    peer = statistics.median(copied)
    yield Row("256 MiB into a memory model and back", seconds, "NumPy copy, once", peer, seconds / peer)
    print(network_traffic.summary(network_traffic.run()))
    yield from bench_socket.speeds(DEMO, record=True)


BLOCKS: dict[str, Callable[[], Iterator[Row | bench_units.Speed | bench_mapping.Found]]] = {
    "arith": arith,
    "experts": bench_experts.experts,
    "mapping": bench_mapping.mapping,
    "pcu": bench_units.pcu,
    "pmu": bench_units.pmu,
    "socket": socket,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: make bench ONLY=arith")
    parser.add_argument("--only", choices=sorted(BLOCKS), help="one block's part")
    blocks = [choice] if (choice := parser.parse_args().only) else sorted(BLOCKS)
    table = Table("what", "median", "peer", "its median", "ratio", title=f"speeds, {RUNS} runs in turn")
    rows = {block: list(BLOCKS[block]()) for block in blocks}
    for row in (row for block in blocks for row in rows[block]):
        if isinstance(row, bench_units.Speed):
            table.add_row(row.what, f"{row.cycles_per_s:,.0f} cycles/s", row.note)
        elif isinstance(row, bench_mapping.Found):
            table.add_row(row.what, row.value, row.how)
        else:
            table.add_row(row.what, f"{row.seconds:.4f} s", row.peer, f"{row.peer_seconds:.4f} s", f"{row.ratio:.2f}")
    Console(width=None if Console().is_terminal else 150).print(table)
    out = ROOT / "build" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        (out / f"{block}.json").write_text(json.dumps([asdict(row) for row in rows[block]], indent=1) + "\n")


if __name__ == "__main__":
    main()
