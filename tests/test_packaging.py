"""What is released works on its own: the wheel holds everything, also without a network."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
LARGEST = 25_000_000
"""bytes; what a wheel may weigh with the models inside"""


def test_every_package_that_make_installs_by_name_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"])
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    pinned = {canonicalize_name(line.split("==")[0]): Requirement(line) for line in lines}
    for wanted in asked:
        pin = pinned[canonicalize_name(wanted.name)]
        (version,) = pin.specifier
        assert version.operator == "=="
        assert wanted.specifier.contains(version.version), f"{pin} is not {wanted}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout; its build backend is fetched only where it is not installed."""
    out = tmp_path_factory.mktemp("wheel")
    alone = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "build", "--wheel", *alone, "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of a new environment with the wheel; what it depends on is lent by this one."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    # The names of an environment's folders are the same in both: only their roots differ.
    packages = home / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    scripts = home / Path(sysconfig.get_path("scripts")).relative_to(sys.prefix)
    install = [scripts / "python", "-m", "pip", "install", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "lent.pth").write_text("\n".join(sorted(lent)) + "\n", encoding="utf-8")
    return scripts


def run(command: list[str | Path], folder: Path) -> str:
    """What a command prints that knows nothing of this checkout."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def without_network() -> list[str | Path]:
    """The start of a command that has no network; skips where that cannot be arranged."""
    prefix: list[str | Path] = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None:
        pytest.skip("there is no `unshare` here to take the network away with")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("`unshare --map-root-user --net` is not permitted here")
    return prefix


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_the_weights_too(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {item.filename: item.file_size for item in archive.infolist()}
    ours = {
        path.relative_to(SOURCE).as_posix(): path.stat().st_size
        for path in (SOURCE / "lorepack").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in ours if name.endswith(".safetensors")} == {
        "lorepack/world/models/world/model.safetensors",
        "lorepack/world/models/world-base/model.safetensors",
    }
    assert {name: size for name, size in held.items() if ".dist-info/" not in name} == ours


@pytest.mark.slow
def test_the_wheel_stays_small(wheel):
    assert wheel.stat().st_size <= LARGEST


@pytest.mark.slow
def test_the_installed_package_is_the_wheel_and_not_the_checkout(installed, tmp_path):
    code = "import lorepack; print(lorepack.__file__)"
    found = Path(run([installed / "python", "-c", code], tmp_path).strip())
    assert found.is_relative_to(installed.parent)


@pytest.mark.slow
def test_the_installed_command_finds_its_models_without_a_network(installed, tmp_path):
    command = [*without_network(), installed / "lorepack", "models", "--json"]
    models = json.loads(run(command, tmp_path).splitlines()[-1])["models"]
    embedded = {
        model["name"]: model["problem"] for model in models if model["origin"] == "embedded"
    }
    assert embedded == {"world": "", "world-base": ""}


@pytest.mark.slow
def test_the_installed_command_packs_facts_without_a_network(installed, tmp_path):
    command = [*without_network(), installed / "lorepack"]
    make = "facts make world-new --size 8 --seed 1 --out new.jsonl"
    pack = "pack --model world --facts new.jsonl --out run --unknown 4 --samples 0 --json"
    small = "--set probe.prompts=1 --set epochs=1 --set min_steps=0"
    run([*command, *make.split()], tmp_path)
    row = json.loads(run([*command, *pack.split(), *small.split()], tmp_path).splitlines()[-1])
    assert row["unknown_trained"] == 4
    assert (tmp_path / "run" / "report.html").is_file()
