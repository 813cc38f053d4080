"""The promise that a machine without the needed tools gets a sentence, not a traceback."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from types import ModuleType

import pytest

from verif.sources import ROOT


@pytest.fixture
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_missing_compiler_and_make_are_named_with_how_to_get_them() -> None:
    process = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bootstrap.py"], env={"PATH": ""}, capture_output=True, text=True
    )
    assert process.returncode == 1
    first, second = process.stderr.splitlines()
    assert re.fullmatch(
        r"openrdu: g\+\+ is missing \(found Python .*\): install a C\+\+20 compiler \(.*apt install g\+\+.*\)\.", first
    )
    assert re.fullmatch(
        r"openrdu: make is missing \(found Python .*\): install GNU make \(.*apt install make.*\)\.", second
    )


def test_an_old_python_is_named_before_anything_else(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10, 2))
    assert bootstrap.missing() == ["python"]


def test_a_python_without_shared_library_is_refused_with_the_package_that_has_it(
    bootstrap: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bootstrap.refuse(["libpython"])
    assert "apt install libpython3-dev" in capsys.readouterr().err


def test_every_dependency_is_pinned_to_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_-]+==[0-9a-z.]+", line)] == []
