"""Yosys as a subprocess over the ``pyosys`` package: ``run(script)`` here, and the command ``openrdu-yosys``.

Errors inside Yosys end the process, so it never runs in ours. The command understands the options that SymbiYosys uses.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hdl.errors import ToolError

READERS = {".il": "read_rtlil", ".sv": "read_verilog -sv", ".v": "read_verilog", ".ys": "script"}


def run(script: str, *, what: str = "a script", cwd: Path | None = None) -> str:
    """Runs a Yosys script (commands separated by newlines or ``;``) and returns what it printed.

    Raises:
        ToolError: Yosys failed; the message carries the end of its log.
    """
    process = subprocess.run(
        [sys.executable, "-m", "hdl.yosys", "-p", script],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    if process.returncode:
        raise ToolError(f"yosys failed on {what}:\n{(process.stdout + process.stderr)[-3000:]}")
    return process.stdout


def main(argv: list[str] | None = None) -> int:
    """The ``yosys`` command line, as far as Amaranth and SymbiYosys use it."""
    from pyosys import libyosys  # a heavy import, wanted only in the subprocess

    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["-V"], ["--version"]):
        print(libyosys.yosys_maybe_version())
        return 0
    quiet, log, files, commands = False, "", [], []
    while arguments:
        option = arguments.pop(0)
        if option in ("-q", "-qq", "-ql"):
            quiet = True
        if option in ("-l", "-ql"):
            log = arguments.pop(0)
        elif option == "-p":
            commands += [line for part in arguments.pop(0).split(";") for line in part.splitlines()]
        elif option == "-s":
            commands.append(f"script {arguments.pop(0)}")
        elif option == "-":
            commands.append(sys.stdin.read())
        elif option.startswith("-"):
            if option not in ("-q", "-qq", "-g", "-t", "-T", "-Q"):
                print(f"openrdu-yosys: unknown option {option}", file=sys.stderr)
                return 2
        else:
            files.append(f"{READERS[Path(option).suffix]} {option}")
    with tempfile.TemporaryDirectory(prefix="openrdu-yosys-") as directory:
        script = Path(directory) / "run.ys"
        script.write_text("\n".join(files + commands) + "\n")
        tee = [*(["-q"] if quiet else []), *(["-o", log] if log else [])]
        libyosys.Design().run_pass(" ".join(["tee", *tee, "script", str(script)] if tee else ["script", str(script)]))
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
