"""Runs that the tests of reports share; nobody writes into them but the report itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import full_run, sample_run


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went well."""
    return sample_run.write_run(tmp_path_factory.mktemp("good") / "run", sample_run.GOOD)


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run with everything that a run can have."""
    return full_run.write_run(tmp_path_factory.mktemp("full") / "run")


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 20,000 facts and 32 layers."""
    return full_run.write_run(tmp_path_factory.mktemp("large") / "run", full_run.LARGE, layers=32)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A small run that a test may change: without manifests, which would tell."""
    folder = sample_run.write_run(tmp_path / "run", sample_run.Shape(facts=80, trained=8))
    sample_run.forget_manifests(folder)
    return folder
