"""Rate and delay of a peer link by share of packets struck: ``python -m verif.link_figures`` prints the table.

The sizes are the default ones with the vectors of ``demo``; both ends send what they can on all channels.
"""

from hdl.link.layout import LinkSizes
from hdl.params import DEMO
from verif.benches.link import SIDES, LinkBench

ERRORS = (0.0, 1 / 1000, 1 / 100, 1 / 10)
CYCLES = 400_000
SPARSE = 0.002
"""Vectors a cycle of one sender, so few that hardly two meet."""


def delay(bench: LinkBench, seed: int, errors: float) -> float:
    """Mean cycles from when a vector is made until it is taken, one sender on an idle link."""
    bench.load(seed, errors)
    bench.until("up", 0b11, 100 * bench.sizes.link.timeout)
    bench.rates({0: SPARSE}, {})
    bench.run(CYCLES)
    bench.drain()
    receiver = bench.sizes.link.channels
    return bench.read("delay", receiver) / bench.read("measured", receiver)


def row(bench: LinkBench, errors: float, clean: float) -> str:
    """One line of the table; ``clean``: vectors a cycle of the link without errors."""
    rate = bench.rate(1, errors, CYCLES)
    damaged = sum(bench.count(side, "bad") for side in SIDES)
    packets = sum(bench.count(side, "sent") for side in SIDES)
    line = rate * bench.sizes.vector_words
    loss = f"{1 - rate / clean:.1%}"
    shares = f"{damaged / packets:.2%} | {rate:.4f} | {line:.1%} | {loss}"
    return f"| {errors:g} | {shares} | {delay(bench, 1, errors):.0f} |"


def main() -> None:
    bench = LinkBench(LinkSizes(DEMO.lanes))
    print(
        "| packets struck | not whole | vectors a cycle | of the line | lost | delay alone |",
        "|---|---|---|---|---|---|",
        sep="\n",
    )
    clean = bench.rate(1, 0.0, CYCLES)
    for errors in ERRORS:
        print(row(bench, errors, clean), flush=True)


if __name__ == "__main__":
    main()
