"""Arithmetic units: fixed-latency pipelines, one result a cycle, bit-exact against ``golden_model.numerics``."""
