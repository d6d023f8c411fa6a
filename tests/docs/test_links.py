"""Links between pages lead somewhere."""

import re
from pathlib import Path

import pytest
from tests.architecture.tree import ROOT, shown, tracked_files

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
#: A how-to page answers one question.
HOW_TO_LINES_MAX = 120


def _pages() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".md"]


@pytest.mark.parametrize("page", _pages(), ids=shown)
def test_a_link_leads_to_a_file_of_the_project(page: Path):
    targets = [target for target, _ in _LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).resolve().exists()] == []


def test_a_how_to_page_is_short():
    pages = list((ROOT / "docs" / "how-to").glob("*.md"))
    assert pages
    assert {p.name for p in pages if len(p.read_text().splitlines()) > HOW_TO_LINES_MAX} == set()


def test_decisions_are_numbered_without_gaps():
    names = sorted(path.name for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
