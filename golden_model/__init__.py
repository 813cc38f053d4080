"""NumPy golden models: bit-exact numerics, blocks and the whole fabric, and the plain mathematics they approximate.

Imports from ``hdl`` only sizes, configuration layouts and tables, which are data; never a component.
"""
