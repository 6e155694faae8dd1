"""The README tells the truth where a test can see it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_the_table_of_settings_is_the_one_in_conf():
    table = runpy.run_path(str(TOP / "scripts" / "settings_table.py"))["table"]()
    assert table in (TOP / "README.md").read_text(encoding="utf-8"), (
        "run `.venv/bin/python scripts/settings_table.py` and put its output into the README"
    )


def test_every_make_target_it_names_exists():
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z-]+)", readme)) | set(re.findall(r"^\$ make ([a-z-]+)", readme, re.M))
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    assert {"demo", "test"} <= named
    assert named <= targets
