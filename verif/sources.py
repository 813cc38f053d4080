"""Where the checkout is, and a fingerprint of its sources: results are kept under it, so none outlives its code."""

import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
HARDWARE = ("hdl", "golden_model", "coe_mapping")


@cache
def fingerprint(folders: tuple[str, ...] = HARDWARE) -> str:
    """Twelve hex digits over every Python file of ``folders``, by path and content."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(file.relative_to(ROOT)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
