"""The test of the tests: small deliberate defects in the RTL, each of which must turn a named test red.

A defect is a replacement in one source file. It is applied to a copy of the sources, never to the checkout, and the
named test is run there.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from verif.sources import ROOT

COPIED = ("hdl", "golden_model", "coe_mapping", "verif", "tests", "scripts", "pyproject.toml")


@dataclass(frozen=True)
class Defect:
    """``before``, standing exactly once in ``file``, becomes ``after``; then ``test`` (a pytest id) must fail."""

    name: str
    file: str
    before: str
    after: str
    test: str


def planted(defect: Defect, source: str) -> str:
    """The source with the defect in it.

    Raises:
        ValueError: the text to replace does not stand exactly once in the source, so the defect is out of date.
    """
    count = source.count(defect.before)
    if count != 1:
        raise ValueError(
            f"defect {defect.name!r}: {defect.before!r} stands {count} times in {defect.file}, not once: "
            "update the defect"
        )
    return source.replace(defect.before, defect.after)


def caught(defect: Defect) -> bool:
    """Whether the named test fails, by an assertion and not by a crash of collection, on sources with the defect.

    Raises:
        ValueError: the defect does not apply any more, or the test could not be run at all.
    """
    with tempfile.TemporaryDirectory(prefix="openrdu-defect-") as scratch:
        copy = Path(scratch)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        target = copy / defect.file
        target.write_text(planted(defect, target.read_text()))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", defect.test]
        environment = {
            **os.environ,
            "PYTHONPATH": str(copy),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENRDU_BUILD": str(ROOT / "build"),  # built simulations are kept by content, so all may share them
            "OPENRDU_NO_SHRINK": "1",
        }
        process = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    if process.returncode == 0:
        return False
    if process.returncode == 1 and re.search(r"\b1 failed\b", process.stdout):
        return True
    raise ValueError(
        f"defect {defect.name!r}: {defect.test} could not be run:\n{process.stdout[-2000:]}{process.stderr[-2000:]}"
    )
