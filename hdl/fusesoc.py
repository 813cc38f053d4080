"""The description of a set of Verilog files that FuseSoC reads: a core file, CAPI2."""

import json
from collections.abc import Sequence

HEADER = "CAPI=2:"


def core(name: str, description: str, files: Sequence[str], waivers: str) -> str:
    """A core ``openrdu:openrdu:name`` whose top level is the module ``name``.

    Args:
        files: Verilog sources, relative to the core file.
        waivers: what Verilator's lint is told to pass over, a file too.

    Returns:
        The text of ``name.core``: its YAML is written as JSON, which is YAML too. Targets: ``default``, and ``lint`` by
        Verilator.
    """
    contents = {
        "name": f"openrdu:openrdu:{name}:0",
        "description": description,
        "filesets": {
            "rtl": {"files": list(files), "file_type": "verilogSource"},
            "waivers": {"files": [waivers], "file_type": "vlt"},
        },
        "targets": {
            "default": {"filesets": ["rtl"], "toplevel": name},
            "lint": {
                "filesets": ["waivers", "rtl"],
                "toplevel": name,
                "default_tool": "verilator",
                "tools": {"verilator": {"mode": "lint-only", "verilator_options": ["-Wall"]}},
            },
        },
    }
    return f"{HEADER}\n{json.dumps(contents, indent=1)}\n"
