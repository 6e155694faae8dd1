"""Where the peers are installed: a virtual environment for each, made anew when its list changes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
APPS: Final = Path(__file__).resolve().parent / "apps"
TARGET: Final = ROOT / "target" / "peers"

ENVIRONMENTS: Final = {
    "dwebsocket": ("dwebsocket==0.5.12", "Django==3.0.14", "gunicorn[gevent]==27.*"),
    "channels": (
        "channels[daphne]>=4,<5",
        "channels-redis>=4,<5",
        "uvicorn[standard]>=0.30",
        "granian>=2",
        "gunicorn==27.*",
        "Django>=5.2,<5.3",
    ),
    "flask": ("flask-sock>=0.7", "gunicorn==27.*"),
    "websockets": ("websockets>=15", "uvloop"),
    "picows": ("picows>=1.8", "uvloop"),
    "aiohttp": ("aiohttp>=3.11", "uvloop"),
    "granian": ("granian>=2",),
    "socketify": ("socketify>=0.0.31",),
    "cv2": ("opencv-python-headless>=5,<6", "numpy"),
    "webgear": ("vidgear[asyncio]>=0.3", "opencv-python-headless>=5,<6", "uvicorn"),
}
"""What pip installs, by environment. Beside these: `ours` (.venv), `node` (npm) and `limits` (cargo)."""

NODE_PACKAGES: Final = ("ws@8",)
DEBIAN_PACKAGES: Final = ("wrk", "redis-server", "util-linux", "libuv1")
"""libuv1 is of socketify, whose wheel does not bring it."""
NEWEST_FOR_DWEBSOCKET: Final = (3, 11)
_INSTALL_SECONDS: Final = 1200
_LAST_LINES: Final = 3


@dataclass(frozen=True)
class Environment:
    """An environment that is there.

    Attributes:
        python: its interpreter, where it has one.
        versions: of the packages that its list names.
    """

    python: Path | None
    versions: dict[str, str]


class NotInstalled(Exception):
    """An environment could not be made; the text says why."""


def prepare(name: str) -> Environment:
    """Makes an environment, if it is not there already.

    Raises:
        NotInstalled: with the last lines of what the installer said.
    """
    if name == "ours":
        python = Path(sys.executable)
        return Environment(
            python,
            {"python": _version_of(python), **_versions(python, ["Django", "gunicorn", "dwebsocket-rs"])},
        )
    if name == "limits":
        return Environment(None, _crates("tokio", "tokio-tungstenite", "fastwebsockets"))
    if name == "node":
        return _prepare_node()
    packages = ENVIRONMENTS[name]
    folder = TARGET / name
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    wanted = json.dumps(packages)
    if not ready.exists() or ready.read_text() != wanted:
        base = _python_for(name)
        print(f"==> Installing {', '.join(packages)} into {folder.relative_to(ROOT)}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _run([str(base), "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        ready.write_text(wanted)
    names = [package.partition("[")[0] for package in (_bare(package) for package in packages)]
    return Environment(python, {"python": _version_of(python), **_versions(python, names)})


def _bare(package: str) -> str:
    """The name in a requirement, with its extras."""
    for sign in ("==", ">=", ","):
        package = package.partition(sign)[0]
    return package


def _python_for(name: str) -> Path:
    if name != "dwebsocket" or sys.version_info[:2] == NEWEST_FOR_DWEBSOCKET:
        return Path(sys.executable)
    known = sorted(Path.home().glob(".pyenv/versions/3.11.*/bin/python"))
    on_path = shutil.which("python3.11")
    if on_path is None and not known:
        raise NotInstalled("CPython 3.11, the newest that Django 3.0 runs on, is not on this machine")
    return known[-1] if known else Path(str(on_path))


def _prepare_node() -> Environment:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        missing = [program for program, path in (("node", node), ("npm", npm)) if path is None]
        install_debian(["nodejs", "npm"], f"the peer on Node ({' and '.join(missing)} missing)")
        node, npm = shutil.which("node") or "node", shutil.which("npm") or "npm"
    folder = TARGET / "node"
    ready = folder / ".ready"
    wanted = json.dumps(NODE_PACKAGES)
    if not ready.exists() or ready.read_text() != wanted:
        print(f"==> Installing {', '.join(NODE_PACKAGES)} into {folder.relative_to(ROOT)}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *NODE_PACKAGES])
        ready.write_text(wanted)
    package = json.loads((folder / "node_modules" / "ws" / "package.json").read_text())
    return Environment(
        None, {"node": _run([node, "--version"]).strip().lstrip("v"), "ws": package["version"]}
    )


def install_debian(packages: Iterable[str], purpose: str) -> None:
    """Installs the Debian packages that are missing.

    Raises:
        NotInstalled: when it may not, or they are not to be had.
    """
    _run([str(ROOT / "scripts" / "packages.sh"), purpose, *packages], cwd=ROOT)


def build_load() -> tuple[Path, Path]:
    """Builds the load generator and the limits, and gives their programs.

    Raises:
        NotInstalled: when that fails; there is nothing to measure with then.
    """
    target = TARGET / "cargo"
    print("==> Building the load generator (release; the first time takes a minute or two)", flush=True)
    manifest = ROOT / "benches" / "peers" / "Cargo.toml"
    _run(
        [
            "cargo",
            "build",
            "--quiet",
            "--release",
            "--manifest-path",
            str(manifest),
            "--target-dir",
            str(target),
        ]
    )
    return target / "release" / "load", target / "release" / "limits"


def _crates(*names: str) -> dict[str, str]:
    import tomllib

    lock = tomllib.loads((ROOT / "benches" / "peers" / "Cargo.lock").read_text())
    return {package["name"]: package["version"] for package in lock["package"] if package["name"] in names}


def _versions(python: Path, names: Iterable[str]) -> dict[str, str]:
    script = (
        "import importlib.metadata as m, json, sys\n"
        "have = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: have.get(n.lower().replace('_', '-'), 'missing') for n in sys.argv[1:]}))"
    )
    found: dict[str, str] = json.loads(_run([str(python), "-c", script, *names]))
    return found


def _version_of(python: Path) -> str:
    return _run([str(python), "-c", "import platform; print(platform.python_version())"]).strip()


def _run(command: list[str], cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the commands are those above
            command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, cwd=cwd, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NotInstalled(" / ".join(said[-_LAST_LINES:]) or f"{command[0]} ended with {done.returncode}")
    return done.stdout
