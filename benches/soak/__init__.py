"""What becomes of a server that is used, and misused, for a long time."""

import sys
from pathlib import Path

# The frames and the clients of the tests.
for _name in ("hostile", "python"):
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "tests" / _name))
