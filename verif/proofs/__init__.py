"""Specifications proved by :func:`verif.formal.prove`, one block a module."""
