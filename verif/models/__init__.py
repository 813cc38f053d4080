"""Models of what stands outside the RTL, inside the compiled simulation."""

from pathlib import Path

SOURCES = tuple(Path(__file__).with_name(f"openrdu_memory{suffix}") for suffix in (".sv", ".cpp"))
"""What a simulation with a memory model is built with besides its own Verilog: ``sources=SOURCES``."""
