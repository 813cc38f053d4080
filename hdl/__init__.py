"""What becomes silicon: synthesisable Amaranth, one folder a block, no test code.

Nothing of ours is imported from here outwards; ``golden_model`` may read sizes, layouts and tables, which are data.
"""
