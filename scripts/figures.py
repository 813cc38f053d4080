"""``make figures``: every declared figure with its target, the measured value, and the command that measures it."""

from rich.console import Console
from rich.table import Table

from verif import figures
from verif.sources import fingerprint


def table() -> Table:
    found = {str(entry["name"]): entry for entry in figures.measured()}
    out = Table(title="OpenRDU figures")
    for heading in ("figure", "measured", "target", "met", "command"):
        out.add_column(heading, no_wrap=True)
    out.add_column("unit")
    for figure in figures.DECLARED:
        entry = found.get(figure.name)
        if entry is None:
            out.add_row(figure.name, "missing", figure.claim, "-", figure.command, figure.unit, style="yellow")
            continue
        stale = entry["sources"] != fingerprint()
        verdict = ("yes" if entry["met"] else "NO") + (", stale" if stale else "")
        value = f"{float(str(entry['value'])):,.6g}"
        style = "yellow" if stale else "green" if entry["met"] else "red"
        out.add_row(figure.name, value, figure.claim, verdict, figure.command, figure.unit, style=style)
    return out


if __name__ == "__main__":
    console = Console()
    console = console if console.is_terminal else Console(width=160)  # a log keeps whole names
    console.print(table())
