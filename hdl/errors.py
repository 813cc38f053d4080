"""Errors a user can cause; each carries one sentence saying what is wrong, where, and what to do."""


class ParameterError(ValueError):
    """A size or option that the hardware cannot be built with; the message names the value and the rule it breaks."""


class ToolError(RuntimeError):
    """An external tool failed; the message names the tool, what it was doing, and the end of what it printed."""
