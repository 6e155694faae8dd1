"""Prints the contract as tables of servers and cases, one per JUnit report given.

The exit status is 0 when every case holds under every server that can have it. A dash is a case that a server
truly cannot have; the reasons stand below the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

HOLDS, FAILS, CANNOT = "✓", "✗", "–"
HEADINGS = {
    "test_members": "The members of request.websocket",
    "test_ends": "What happens at the close",
    "test_habits": "What users do",
    "test_requests": "Views, decorators and refusals",
    "test_frames": "What 0.5.12 gets wrong on the wire",
}


class Table:
    """The outcome of each case under each server, of one run of the tests."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.servers: list[str] = []
        self.cases: dict[tuple[str, str], dict[str, str]] = {}
        self.reasons: dict[str, int] = {}

    def add(self, case: ElementTree.Element) -> None:
        """Adds one test; the tests of a case that is parametrised are one."""
        server = next(
            (each.attrib["value"] for each in case.iter("property") if each.attrib["name"] == "server"), None
        )
        if server is None:
            return
        if server not in self.servers:
            self.servers.append(server)
        name = case.attrib["name"].partition("[")[0].removeprefix("test_").replace("_", " ")
        row = self.cases.setdefault((case.attrib["classname"].rpartition(".")[2], name), {})
        outcome = HOLDS
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = FAILS
        elif (skipped := case.find("skipped")) is not None:
            outcome = CANNOT
            reason = skipped.attrib.get("message", "without a reason")
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        # The worst of several counts.
        row[server] = max(row.get(server, HOLDS), outcome, key=(HOLDS, CANNOT, FAILS).index)

    def good(self) -> bool:
        """Whether nothing failed, and something was tried."""
        return bool(self.cases) and not any(FAILS in row.values() for row in self.cases.values())

    def lines(self) -> Iterable[str]:
        """The table as it is printed."""
        width = max(len(name) for _, name in self.cases) if self.cases else 0
        heads = [server.split() for server in self.servers]
        columns = [max(len(word) for word in head) for head in heads]
        yield ""
        yield self.title
        for number in range(max(map(len, heads), default=0)):
            words = [head[number] if number < len(head) else "" for head in heads]
            yield " " * width + "".join(
                f"  {word:^{column}}" for word, column in zip(words, columns, strict=True)
            )
        heading = None
        order = list(HEADINGS)
        for (module, name), row in sorted(
            self.cases.items(),
            key=lambda case: order.index(case[0][0]) if case[0][0] in order else len(order),
        ):
            if module != heading:
                heading = module
                yield f"- {HEADINGS.get(module, module)}"
            cells = [row.get(server, " ") for server in self.servers]
            yield f"{name:<{width}}" + "".join(
                f"  {cell:^{column}}" for cell, column in zip(cells, columns, strict=True)
            )
        for reason, count in self.reasons.items():
            yield f"{CANNOT} {reason} ({count} tests)"
        outcomes = [outcome for row in self.cases.values() for outcome in row.values()]
        yield ", ".join(f"{outcomes.count(each)} {each}" for each in (HOLDS, CANNOT, FAILS))


def read(report: Path) -> Table:
    """The table of one JUnit report."""
    table = Table(report.stem.replace("-", " "))
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 -- pytest wrote it
        table.add(case)
    return table


def main() -> int:
    """Prints the table of each report."""
    tables = [read(Path(argument)) for argument in sys.argv[1:]]
    for table in tables:
        print("\n".join(table.lines()))
    return 0 if tables and all(table.good() for table in tables) else 1


if __name__ == "__main__":
    sys.exit(main())
