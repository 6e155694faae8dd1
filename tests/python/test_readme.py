"""The README tells the truth where a test can see it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from dwebsocket.conf import SETTINGS

TOP = Path(__file__).parents[2]


def test_the_table_of_settings_is_the_one_in_conf():
    table = runpy.run_path(str(TOP / "scripts" / "settings_table.py"))["table"]()
    assert table in (TOP / "README.md").read_text(encoding="utf-8"), (
        "run `.venv/bin/python scripts/settings_table.py` and put its output into the README"
    )


NO_LIMITS = {
    "WEBSOCKET_SLOW_CLIENT",
    "WEBSOCKET_COMPRESSION",
    "WEBSOCKET_COMPRESSION_THRESHOLD_BYTES",
    "WEBSOCKET_COMPRESSION_CONTEXT_TAKEOVER",
    "WEBSOCKET_COMPRESSION_WINDOW_BITS",
    "WEBSOCKET_IO_THREADS",
}
"""Settings of the core that say what is done, not how much a client may do."""


def test_the_table_of_limits_has_every_one_with_its_default() -> None:
    shown = runpy.run_path(str(TOP / "scripts" / "settings_table.py"))["shown"]
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    table = readme.partition(
        "| limit | default | setting | the client gets | the log says |\n|---|---|---|---|---|\n"
    )[2]
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in table.partition("\n\n")[0].splitlines()
    ]
    told = {setting.strip("`"): default.partition(" (")[0] for _, default, setting, _, _ in rows}
    limits = {name: shown(item.default) for name, item in SETTINGS.items() if item.core}
    assert told == {name: default for name, default in limits.items() if name not in NO_LIMITS}
    assert all(all(row) for row in rows), "an empty cell"


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "DIFFERENCES.md", "CHANGELOG.md"])
def test_every_setting_a_document_names_exists(name: str) -> None:
    named = re.findall(r"WEBSOCKET_[A-Z_]*[A-Z]", (TOP / name).read_text(encoding="utf-8"))
    assert named
    assert set(named) <= set(SETTINGS)


def test_the_readme_leads_to_how_to_report_a_vulnerability() -> None:
    assert "](SECURITY.md)" in (TOP / "README.md").read_text(encoding="utf-8")
    assert "## How to report a vulnerability" in (TOP / "SECURITY.md").read_text(encoding="utf-8")


def test_every_make_target_it_names_exists():
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z-]+)", readme)) | set(re.findall(r"^\$ make ([a-z-]+)", readme, re.M))
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    assert {"demo", "test"} <= named
    assert named <= targets
