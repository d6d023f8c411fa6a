"""What is generated is current; what is written by hand names everything there is."""

import ast
import re
import tomllib

import pytest
from tests.architecture.tree import ROOT, SOURCE, python_files, syntax_tree
from tools.gen_reference import PAGES, REFERENCE


@pytest.mark.parametrize("name", list(PAGES))
def test_making_a_page_again_changes_nothing(name: str):
    assert (REFERENCE / name).read_text() == PAGES[name](), "run: make docs"


def test_the_environment_page_names_every_variable_of_the_source():
    page = (REFERENCE / "environment.md").read_text()
    variable = re.compile(r"(?:COVEY|PARALLEL)_[A-Z_]*[A-Z]")
    used: set[str] = set()
    for path in python_files(SOURCE):
        for node in ast.walk(syntax_tree(path)):
            value = node.value if isinstance(node, ast.Constant) else None
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            # As a name of its own, or as `NAME=` before a value; prose is not meant.
            if isinstance(text, str) and variable.fullmatch(text.removesuffix("=")):
                used.add(text.removesuffix("="))
    assert {"COVEY_HOME", "COVEY_ITEM"} <= used
    assert used - set(variable.findall(page)) == set()


def test_the_index_links_every_page_of_the_reference():
    index = (REFERENCE / "README.md").read_text()
    pages = {path.name for path in REFERENCE.glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


def test_the_page_on_dependencies_names_each_of_them():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "adr" / "0002-dependencies.md").read_text()
    wanted = [*project["dependencies"], *project["optional-dependencies"]["fast"]]
    names = [re.split(r"[><=;]", line)[0] for line in wanted]
    assert [name for name in names if f"`{name}`" not in page] == []
