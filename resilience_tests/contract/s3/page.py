"""The page that shows what each server was seen to do, its table written by `matrix --write`."""

from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "s3-servers.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

Words = Mapping[str, Mapping[str, str]]
"""`held`, `violated` or `not offered`, by server, by promise."""


def write(words: Words) -> None:
    """Put the table between the marks of the page; what stands around it stays."""
    before, after = _around(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(f"{before}{BEGIN}\n{table(words)}\n{END}{after}", encoding="utf-8")


def table(words: Words) -> str:
    """Return one row a promise, one column a server; what is not held is set in bold."""
    names = list(next(iter(words.values())))
    lines = [f"| promise | {' | '.join(words)} |", f"|---|{'---|' * len(words)}"]
    counts = [f"{sum(one == 'held' for one in judged.values())} held" for judged in words.values()]
    lines.append(f"| all {len(names)} | {' | '.join(counts)} |")
    for name in names:
        cells = [
            judged[name] if judged[name] == "held" else f"**{judged[name]}**" for judged in words.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def read() -> Words:
    """Read the table back from the page."""
    text = PAGE.read_text(encoding="utf-8")
    rows = [
        [cell.strip().strip("*") for cell in line.strip("|").split("|")]
        for line in text[text.index(BEGIN) : text.index(END)].splitlines()
        if line.startswith("| ")
    ]
    (_, *servers), _, *promises = rows
    return {
        server: {name: cells[column] for name, *cells in promises} for column, server in enumerate(servers)
    }


def _around(text: str) -> tuple[str, str]:
    before, _, rest = text.partition(BEGIN)
    return before, rest.partition(END)[2]
