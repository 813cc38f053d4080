"""The build cache: one folder a build, named after a digest of everything the build depends on.

Several processes may ask for the same build at once (pytest-xdist): the first takes a file lock and builds, the others
wait for it. A build that was interrupted has no stamp and starts anew.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from verif.sim import tools

STAMP = "built"


def digest(parts: Iterable[str]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of ``parts``, each with its length so that no two lists collide."""
    hasher = hashlib.sha256()
    for part in parts:
        data = part.encode()
        hasher.update(len(data).to_bytes(8, "little") + data)
    return hasher.hexdigest()[:16]


def built(name: str, parts: Iterable[str], build: Callable[[Path], None]) -> Path:
    """The folder ``<name>-<digest of parts>``, made by ``build(folder)`` unless it is already there.

    Raises:
        whatever ``build`` raises; nothing stays in the cache then.
    """
    folder = tools.build_root() / f"{name}-{digest(parts)}"
    if (folder / STAMP).exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        if not (folder / STAMP).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            build(folder)
            (folder / STAMP).touch()
    return folder


def kept(file: Path, text: str) -> Path:
    """``file``, which holds ``text`` and is named after it; written at once, for others may be reading."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f"{file.name}.{os.getpid()}")
        fresh.write_text(text)
        fresh.replace(file)
    return file


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on ``path`` between processes; the system lets it go if the process dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
