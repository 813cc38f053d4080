"""Makes the virtual environment ``.venv`` with every tool in it. Run by ``make`` with the system's Python.

Needs only Python 3.11+ (with ``venv``), a C++ compiler and make; whatever is missing is named in one sentence together
with the command that brings it. Standard library only, and no newer syntax than needed, so that an old Python gets the
sentence and not a traceback.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "openrdu.stamp"

HOW = {
    "python": "install Python 3.11 or newer (Debian and Ubuntu: apt install python3; elsewhere pyenv or uv) "
    "and say which it is with make PYTHON=python3.12",
    "venv": "install the venv module (Debian and Ubuntu: apt install python3-venv)",
    "g++": "install a C++20 compiler (Debian and Ubuntu: apt install g++; Fedora: dnf install gcc-c++)",
    "make": "install GNU make (Debian and Ubuntu: apt install make; Fedora: dnf install make)",
    "libpython": "cocotb embeds Python as a shared library: install it (Debian and Ubuntu: apt install libpython3-dev; "
    "pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install)",
}


def missing() -> "list[str]":
    """Names of what the machine lacks, keys of HOW, before anything is installed."""
    if sys.version_info < (3, 11):
        return ["python"]
    lacks = [tool for tool in ("g++", "make") if not shutil.which(tool)]
    try:
        __import__("ensurepip")
    except ImportError:
        lacks.append("venv")
    return lacks


def has_shared_libpython() -> bool:
    """Whether a shared libpython can be loaded, which a simulator with cocotb inside needs."""
    program = "import find_libpython as f; print(f.find_libpython() or '')"
    return bool(subprocess.check_output([str(PYTHON), "-c", program]).strip())


def refuse(lacks: "list[str]") -> None:
    """Ends the process with a sentence for each thing the machine lacks."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    for name in lacks:
        print(f"openrdu: {name} is missing (found Python {version} at {sys.executable}): {HOW[name]}.", file=sys.stderr)
    sys.exit(1)


def install() -> None:
    """Makes the environment if it is not there and installs what pyproject.toml pins."""
    if not PYTHON.exists():
        print("openrdu: making the virtual environment .venv", flush=True)
        subprocess.check_call([sys.executable, "-m", "venv", str(VENV)])
    print("openrdu: installing the tools pinned in pyproject.toml (about a minute)", flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.call([*pip, "--editable", f"{ROOT}[dev]"]):
        print(
            "openrdu: pip could not install the packages that pyproject.toml pins; its message is above. "
            f"Check the network, or that this platform ({sysconfig.get_platform()}) has wheels for them.",
            file=sys.stderr,
        )
        sys.exit(1)


def main() -> None:
    """Checks, installs, checks again, and leaves a stamp for make."""
    lacks = missing()
    if lacks:
        refuse(lacks)
    install()
    if not has_shared_libpython():
        refuse(["libpython"])
    STAMP.write_text("made by scripts/bootstrap.py\n")


if __name__ == "__main__":
    main()
