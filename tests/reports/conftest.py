"""Runs that the tests of reports share; nobody writes into them but the report itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import sample_run


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went well."""
    return sample_run.write_run(tmp_path_factory.mktemp("good") / "run", sample_run.GOOD)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A small run that a test may change: without manifests, which would tell."""
    folder = sample_run.write_run(tmp_path / "run", sample_run.Shape(facts=80, trained=8))
    sample_run.forget_manifests(folder)
    return folder
