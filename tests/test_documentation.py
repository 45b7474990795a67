"""The documentation says all there is, and nothing that is not."""

import re
import subprocess
from pathlib import Path

import click
import pytest
from flask import Flask

from app import cli
from foundation.settings import _Texts
from migrations.schema_page import page
from tests.house import a_house
from web.server import build_flask

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
API = (ROOT / "docs" / "api.md").read_text()

_CALL = re.compile(r"`(GET|POST|PATCH|PUT|DELETE) (/[^`?]*)`")


def _section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_settings_in_the_readme_are_those_that_exist() -> None:
    documented = set(re.findall(r"^\| `SENDONCE_([A-Z_]+)`", _section("Settings"), re.MULTILINE))

    assert documented == {name.upper() for name in _Texts.model_fields}


def test_the_defaults_in_the_readme_are_the_real_ones() -> None:
    said = re.findall(r"^\| `SENDONCE_([A-Z_]+)` \| `([^`$]+)`", _section("Settings"), re.MULTILINE)

    real = {
        name.upper(): field.default
        for name, field in _Texts.model_fields.items()
        if field.default is not None
    }
    assert {name: float(v) if v[0].isdigit() else v for name, v in said} == {
        name: float(v) if isinstance(v, float) else str(v) for name, v in real.items()
    }


def test_the_commands_in_the_readme_are_those_that_exist() -> None:
    cells = re.findall(r"^\| (`.*?`) \|", _section("Commands"), re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}

    assert documented == set(_commands(cli))


def test_every_command_takes_a_data_directory() -> None:
    lacking = [
        name
        for name, command in _commands(cli).items()
        if not any("--data-dir" in option.opts for option in command.params)
    ]

    assert lacking == []


def test_the_calls_in_the_api_page_are_those_that_exist(app: Flask) -> None:
    documented = {(method, path) for method, path in _CALL.findall(API)}

    real = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if " pages." not in rule.endpoint and not rule.endpoint.startswith("assets.")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert documented == real


def test_the_page_of_the_tables_is_current() -> None:
    # To put it right: make schema
    assert (ROOT / "docs" / "schema.md").read_text() == page()


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    links = [
        (page.name, link)
        for page in pages
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
        if not (page.parent / link).exists()
    ]

    assert links == []


def test_ci_runs_the_command_of_the_readme() -> None:
    blocks = re.findall(r"```sh\n(python3 -m venv [^\n]*)\n```", README)
    printed = subprocess.run(
        [ROOT / ".ci" / "readme-test-command"], capture_output=True, text=True, check=True
    ).stdout

    assert [block for block in blocks if "pytest" in block] == [printed.strip()]
    assert "$(.ci/readme-test-command)" in (ROOT / ".ci" / "run").read_text()


def test_each_decision_says_the_same_five_things() -> None:
    decisions = sorted(ROOT.glob("docs/decisions/0*.md"))

    assert [path.name[:4] for path in decisions] == [
        f"{number:04}" for number in range(1, len(decisions) + 1)
    ]
    for path in decisions:
        text = path.read_text()
        for said in ("**Question.**", "**Choice.**", "**Price.**", "**Look again**"):
            assert said in text, path.name
        assert "**Tried.**" in text or "**Measured**" in text, path.name


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    with a_house(tmp_path) as house:
        return build_flask(house)


def _commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= _commands(command, f"{before}{name} ")
        else:
            found[f"{before}{name}"] = command
    return found
