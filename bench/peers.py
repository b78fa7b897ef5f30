"""Installs what Trunkline is compared with.

System programs by apt-get where that exists and we are root; Python peers each into a virtual environment of its own
under bench/peers/, because their dependencies contradict each other and must not meet Trunkline's.
"""

import os
import shutil
import subprocess
import sys

from bench.gateways import PEERS, find_nginx

_SYSTEM = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk"}
"""Program and Debian package."""

_PYTHON = {"vllm-router": "vllm-router", "litellm": "litellm[proxy]"}
"""Program and requirement. LiteLLM takes minutes and 750 MB."""


def _missing() -> list[str]:
    where = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
    found = {name: find_nginx() if name == "nginx" else shutil.which(name, path=where) for name in _SYSTEM}
    return [package for name, package in _SYSTEM.items() if found[name] is None]


def _install_system() -> bool:
    packages = _missing()
    if not packages:
        return True
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        print(f"not root, or no apt-get. Install these yourself: {' '.join(packages)}")
        return False
    # RUNLEVEL=1: packages of servers do not start their service.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *packages]):
        if subprocess.run(["apt-get", *arguments], env=environment, check=False).returncode:
            print(f"apt-get {arguments[0]} failed")
            return False
    return True


def _install_python(name: str, requirement: str) -> bool:
    home = PEERS / name
    if (home / "bin" / name).exists():
        return True
    # The pins of our own environment are not for theirs.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_CONSTRAINT")}
    print(f"installing {requirement} into bench/peers/{name} ...", flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [
            str(home / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            requirement,
        ],
    ):
        if subprocess.run(command, env=environment, check=False).returncode:
            print(f"{requirement} could not be installed")
            return False
    return True


def install() -> int:
    """Install all that is missing; 1 if any could not be."""
    done = [_install_system(), *(_install_python(name, requirement) for name, requirement in _PYTHON.items())]
    if all(done):
        print(f"installed: {', '.join([*_SYSTEM, *_PYTHON])}")
    return 0 if all(done) else 1
