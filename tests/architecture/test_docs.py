"""The documentation held against the code: what it names exists, what exists it names."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import click
import pytest

from appliance import config, errors
from appliance.cli import main as cli
from appliance.dicom.sop_classes import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- architecture ---


def test_every_place_that_the_plan_names_exists():
    named = re.findall(
        r"`((?:appliance|web|quantize|models|bench|tests)/[\w/.]*)`", text("docs/architecture.md")
    )
    assert len(named) > 25
    missing = [place for place in named if not (ROOT / place).exists()]
    assert missing == []


def test_every_room_that_exists_is_in_the_plan():
    plan = text("docs/architecture.md")
    rooms = [
        path
        for path in (ROOT / "appliance").iterdir()
        if path.name not in {"__init__.py", "__pycache__"}
    ]
    for path in rooms:
        assert f"`appliance/{path.name}{'/' if path.is_dir() else ''}`" in plan, path.name


def test_the_plan_and_the_checked_layers_are_the_same():
    block = re.search(r"```\n(cli\n.*?)```", text("docs/architecture.md"), re.DOTALL)
    checked = re.search(
        r"exhaustive = true\nlayers = \[\n(.*?)\n\]", text("pyproject.toml"), re.DOTALL
    )
    assert block is not None
    assert checked is not None
    assert block.group(1).split("\n")[:-1] == re.findall(r'"(.*?)"', checked.group(1))


# --- one X-ray ---


def defined_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_the_walk_names_code_that_exists():
    steps = re.findall(r"`((?:appliance|web)/[\w/]+\.py)::(\w+)`", text("docs/one-xray.md"))
    assert len(steps) >= 20
    for path, name in steps:
        assert name in defined_in(ROOT / path), f"{path}::{name}"


def test_the_pipeline_runs_its_stages_in_the_order_that_it_tells():
    source = text("appliance/pipeline.py")
    body = source[source.index("def _read_image") :]
    stages = ["choose_model(", "_inspect(", "preprocess.prepare(", ".predict(", "_judge("]
    places = [body.index(stage) for stage in stages]
    assert places == sorted(places)


# --- commands, keys, errors ---


def commands(group: click.Group, prefix: str = "waypost") -> set[str]:
    found = set()
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix} {name}")
        elif not command.hidden:
            found.add(f"{prefix} {name}")
    return found


def test_every_command_is_documented_and_every_documented_one_exists():
    named = set(re.findall(r"^\| `(waypost [a-z ]+?)` \|", text("docs/commands.md"), re.MULTILINE))
    assert named == commands(cli)


def test_every_option_of_read_is_documented():
    options = {
        option
        for parameter in cli.commands["read"].params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    } - {"--config"}
    assert all(option in text("docs/commands.md") for option in options)


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("[station]", config.Station),
        ("[limits]", config.Limits),
        ("[reading]", config.Reading),
        ("[[target]]", config.Target),
    ],
)
def test_every_key_is_documented_with_its_default(heading, kind):
    page = text("docs/configuration.md")
    section = page[page.index(f"## `{heading}`") :].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    assert set(rows) == set(fields)
    for name, default in fields.items():
        if default is dataclasses.MISSING:
            assert rows[name] == "required", name
        else:
            shown = str(default).lower() if isinstance(default, bool) else default
            written = f'"{shown}"' if isinstance(default, str) else str(shown)
            assert rows[name] == f"`{written}`", name


def test_the_example_configuration_is_one():
    example = re.search(r"```toml\n(.*?)```", text("docs/configuration.md"), re.DOTALL)
    assert example is not None
    assert len(config.parse_config(example.group(1)).target) == 2


def test_the_error_tree_is_the_one_that_its_docstring_draws():
    drawn = re.findall(r"(\w+Error)", errors.__doc__ or "")
    defined = {
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, errors.WaypostError)
    }
    assert set(drawn) == defined == set(errors.__all__)


# --- DICOM conformance ---


def test_every_sop_class_and_transfer_syntax_is_in_the_conformance_statement():
    page = text("docs/conformance.md")
    named = set(re.findall(r"\| `(\d+\.[\d.]+)` \|", page))
    assert named == set(STORAGE_SOP_CLASSES) | set(TRANSFER_SYNTAXES) | {"1.2.840.10008.1.1"}


def test_every_status_is_in_the_conformance_statement():
    source = text("appliance/ingest/scp.py")
    used = {f"{int(number, 16):04X}" for number in re.findall(r"0x([0-9A-Fa-f]{4})\b", source)}
    documented = set(
        re.findall(r"^\| `([0-9A-F]{4})` \|", text("docs/conformance.md"), re.MULTILINE)
    )
    assert used <= documented


# --- the Makefile, the links, the words ---


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z0-9-]+):", text("Makefile"), re.MULTILINE))
    for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]:
        named = set(re.findall(r"`make ([a-z0-9-]+)", path.read_text(encoding="utf-8")))
        assert named <= targets, path.name


def test_every_relative_link_leads_somewhere():
    for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "models").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_model_has_a_card_that_names_its_version_and_its_limits():
    packages = list((ROOT / "models").glob("*/*/manifest.toml"))
    assert packages
    for manifest in packages:
        card = (manifest.parent / "card.md").read_text(encoding="utf-8")
        assert manifest.parent.name in card
        assert "ot a certified medical device" in card


FORBIDDEN_ON_SCREEN = re.compile(
    r"\bno disease\b|\bAI\b|\bdiagnos(?:is|e[sd]?)\b|\bnormal\b", re.IGNORECASE
)


def test_no_page_and_no_reason_uses_a_forbidden_word():
    for path in [*(ROOT / "web" / "templates").glob("*.html"), ROOT / "web" / "words.py"]:
        shown = re.sub(r"\{[%#].*?[%#]\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for line in shown.splitlines():
            if "never says" in line or "Not a certified" in line:
                continue
            assert not FORBIDDEN_ON_SCREEN.search(line), f"{path.name}: {line.strip()}"
