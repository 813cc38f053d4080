"""Shared fixtures: one seed for every random choice of a test, printed so that it reproduces."""

import os
import random

import numpy as np
import pytest
from hypothesis import settings

SEED = "OPENRDU_SEED"

# Timing on a shared machine is noise, and examples that failed elsewhere are no part of a checkout.
settings.register_profile("openrdu", deadline=None, database=None, print_blob=True)
settings.load_profile("openrdu")


@pytest.fixture
def seed() -> int:
    """A fresh seed, or that of ``OPENRDU_SEED``; pytest shows the line when the test fails."""
    chosen = int(os.environ.get(SEED) or random.SystemRandom().getrandbits(32))
    print(f"repeat with {SEED}={chosen}")
    return chosen


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """A NumPy generator of the test's seed."""
    return np.random.default_rng(seed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests measured (``record_property("worst error", text)``), which parallel workers cannot."""
    measured = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "worst error"
    ]
    if measured:
        terminalreporter.section("worst errors")
        for line in dict.fromkeys(measured):
            terminalreporter.write_line(str(line))
