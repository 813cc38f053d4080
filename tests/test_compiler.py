"""Promises of verif.sim.clang and verif.sim.tools: which compiler, and that it is one with the host's g++."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from verif.sim import clang, tools

ASKS_WHOSE_LIBRARY = """
#include <string>
#include <immintrin.h>
#if !defined(__clang__) || !defined(__GLIBCXX__) || defined(_LIBCPP_VERSION)
#error not clang with the library of g++
#endif
#include <stdexcept>
#include <iostream>
int main() {
    try { throw std::runtime_error(std::string(40, 'x')); }
    catch (const std::exception& error) { std::cout << error.what(); }
}
"""


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    memories = (tools.compiler, tools.linker, clang.command)
    for memory in memories:
        memory.cache_clear()
    yield
    for memory in memories:
        memory.cache_clear()


def test_what_clang_compiles_with_the_library_of_gcc_is_linked_by_gcc(tmp_path: Path) -> None:
    words = clang.command("g++")
    if words is None:
        pytest.skip("the clang of ziglang does not work here")
    source, objects, program = (tmp_path / f"probe{suffix}" for suffix in (".cpp", ".o", ""))
    source.write_text(ASKS_WHOSE_LIBRARY)
    subprocess.run([*words, "-std=gnu++20", "-O2", "-fPIC", "-c", source, "-o", objects], check=True)
    subprocess.run(["g++", objects, "-o", program], check=True)
    assert subprocess.check_output([program], text=True) == "x" * 40


def test_cxx_in_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++")
    assert tools.compiler() == ("g++",)
    assert "CXX=g++" in tools.make_variables(waves=False)
    assert "CFG_CXXFLAGS_PCH_I=-include" in tools.make_variables(waves=False)


@pytest.mark.parametrize("breakage", ["no package", "it fails", "no gcc to join"])
def test_gcc_compiles_where_clang_does_not_work(breakage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    match breakage:
        case "no package":
            monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        case "it fails":
            monkeypatch.setattr(clang, "_PROBE", "#error it fails\n")
        case "no gcc to join":
            other = tmp_path / "g++"
            other.write_text("#!/bin/sh\necho some other compiler >&2\n")
            other.chmod(0o755)
            monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.compiler() == ("g++",)


def test_a_build_is_kept_under_a_key_without_paths() -> None:
    assert not [text for text in tools.settings(waves=False) if str(Path(sys.prefix)) in text]
