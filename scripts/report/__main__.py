"""``python -m scripts.report build/sim/result.json``: writes the report beside the result anew."""

import argparse
import json
import sys
from pathlib import Path

from scripts.report import write_report
from verif.sources import ROOT


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.report",
        description="Writes report.html beside a result of `make sim`.",
        epilog="example: python -m scripts.report build/sim/result.json",
    )
    parser.add_argument("result", type=Path, nargs="?", default=ROOT / "build" / "sim" / "result.json")
    path: Path = parser.parse_args(arguments).result
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        print(f"there is no {path}: run `make sim` first", file=sys.stderr)
        return 1
    except json.JSONDecodeError as error:
        print(f"{path} is not JSON ({error}): run `make sim` again", file=sys.stderr)
        return 1
    if not isinstance(result, dict):
        print(f"{path} holds no result of `make sim`, which is a JSON object: run `make sim` again", file=sys.stderr)
        return 1
    write_report(result, path.with_name("report.html"))
    print(f"report: {path.with_name('report.html')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
