"""The reference has every public name and every option of the command line, and no other option."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("typer", reason="needs the extra cli")

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
ENTRY = re.compile(
    r"^::: (\S+)\n(?:    options:\n(?:      .*\n)*?      members: \[(.*)\]\n)?", re.MULTILINE
)
PUBLIC = (
    *("", ".errors", ".evaluation", ".evaluation.ragas"),
    *(".files", ".first_stage", ".testing", ".wrappers"),
)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def documented():
    """Return what the pages document, by its full name: modules as a whole, classes, functions."""
    names = set()
    for page in REFERENCE.glob("*.md"):
        for name, members in ENTRY.findall(page.read_text(encoding="utf-8") + "\n"):
            names |= {f"{name}.{one.strip()}" for one in members.split(",")} if members else {name}
    return {name: resolved(name) for name in sorted(names)}


def resolved(name):
    try:
        return import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(import_module(module), attribute)


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_class_and_function_is_documented(package):
    module = import_module(f"langchain_rerank{package}")
    entries = list(documented().values())
    modules = {one.__name__ for one in entries if inspect.ismodule(one)}
    names = getattr(module, "__all__", None) or [one for one in vars(module) if one[0].isupper()]
    public = {name: getattr(module, name) for name in names}
    assert [
        name
        for name, one in public.items()
        if (inspect.isclass(one) or inspect.isfunction(one))
        and one.__module__.startswith("langchain_rerank")
        and one.__module__ not in modules
        and not any(one is entry for entry in entries)
    ] == []


def test_the_page_of_the_command_line_has_every_option_and_no_other():
    import typer

    from langchain_rerank.cli.app import app

    group = typer.main.get_command(app)
    commands = [group, *group.commands.values()]
    there = {
        option
        for command in commands
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    page = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    named = set(OPTION.findall(page)) - {"--help"}
    assert there - named == {"--install-completion", "--show-completion"} & there
    assert named - there == set()
    assert all(f"`{name}" in page for name in group.commands)
