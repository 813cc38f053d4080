"""Benches for streams: drivers, monitors, scoreboards and the stream rules, for any component's signature.

``Bench`` ties them together; ``Stalls`` says when an endpoint holds back; ``encode`` and ``decode`` go between values
and bits through Amaranth shapes.
"""

from verif.streams.bench import Bench
from verif.streams.payload import decode, describe, encode
from verif.streams.ports import BenchError
from verif.streams.stalls import NEVER, Stalls

__all__ = ["NEVER", "Bench", "BenchError", "Stalls", "decode", "describe", "encode"]
