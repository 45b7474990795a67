"""The staircase of imports: the contracts stand in pyproject.toml."""

import tomllib
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parent.parent
# What sees every table, and what tries everything out.
_OUTSIDE = {"migrations", "tests", "benchmarks"}


def test_every_import_keeps_to_the_contracts() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml")) == EXIT_STATUS_SUCCESS


def test_every_room_is_under_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    rooms = {path.parent.name for path in ROOT.glob("*/*.py")} - _OUTSIDE

    assert set(settings["root_packages"]) == rooms
    [layers] = [c for c in settings["contracts"] if c["type"] == "layers"]
    assert {r.strip() for level in layers["layers"] for r in level.split("|")} == rooms


def test_no_file_is_called_after_nothing() -> None:
    nameless = {"utils.py", "helpers.py", "common.py", "core.py", "misc.py"}

    assert [path for path in ROOT.glob("*/*.py") if path.name in nameless] == []
