"""``make verify``: the long campaign, block by block, resumable; exits 1 if anything was found wrong."""

import argparse
import sys

from rich.console import Console
from rich.table import Table

from verif import campaign
from verif.campaigns import BLOCKS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: make verify ONLY=arith")
    parser.add_argument("--only", choices=sorted(BLOCKS), help="one block's part")
    blocks = [choice] if (choice := parser.parse_args().only) else sorted(BLOCKS)
    console = Console(highlight=False)
    summary = Table("block", "part", "shards", "seconds", "verdict", title="verification campaign")
    wrong: list[str] = []
    for part in (part for block in blocks for part in BLOCKS[block]()):
        done = []
        for done_shard in campaign.run(part):
            done.append(done_shard)
            how = "kept" if done_shard.resumed else f"{done_shard.seconds:.1f} s"
            counted = ", ".join(f"{name} {value:,.6g}" for name, value in done_shard.result.items())
            progress = f"[{len(done)}/{len(part.shards)}]"
            console.print(f"{part.block}/{part.name} {progress} {done_shard.shard}: {counted} ({how})", markup=False)
        failures = part.failures([d.result for d in done])
        wrong += [f"{part.block}/{part.name}: {failure}" for failure in failures]
        seconds = f"{sum(d.seconds for d in done):.0f}"
        summary.add_row(part.block, part.name, str(len(done)), seconds, "FAILED" if failures else "passed")
    console.print(summary)
    for sentence in wrong:
        console.print(sentence, style="red")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
