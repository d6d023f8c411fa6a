"""Nothing of one developer's machine stands in a file of the project."""

import re

import pytest
from tests.architecture.tree import ROOT, shown, tracked_files

#: Built from pieces, so that this file does not find itself.
_FORBIDDEN = re.compile(
    "|".join(
        (
            "/" + r"work/(?:main|shared)\b",
            "/" + r"root/\.pyenv",
            "/" + r"opt/(?:pypi|wheels)\b",
            "find" + r"-links\s*=",
            "--(?:extra-)?index" + r"-url[ =]\S*(?:http|file)",
            r"(?<!emit-)trusted" + r"-host[ =]",
            r"https?://[^\s/]*(?:artifactory|nexus|devpi|pypi)[^\s]*/simple",
        )
    ),
    re.IGNORECASE,
)
_TEXT = frozenset(
    {
        ".py",
        ".md",
        ".toml",
        ".txt",
        ".in",
        ".sh",
        ".yaml",
        ".yml",
        ".json",
        ".cfg",
        ".ini",
        ".out",
        "",
    }
)


def test_no_file_names_a_path_or_registry_of_one_machine():
    found: list[str] = []
    for path in tracked_files():
        if path.suffix in _TEXT:
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if _FORBIDDEN.search(line):
                    found.append(f"{shown(path)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_lock_files_carry_a_hash_for_every_requirement():
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        pins = re.findall(r"^[A-Za-z0-9_.-]+==", text, re.MULTILINE)
        assert pins
        for block in re.split(r"\n(?=[A-Za-z0-9])", text):
            if re.match(r"[A-Za-z0-9_.-]+==", block):
                assert "--hash=sha256:" in block, f"{lock.name}: {block[:60]}"


def test_the_run_lock_starts_from_the_dependencies_of_the_wheel():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = set(project["dependencies"]) | set(project["optional-dependencies"]["fast"])
    lines = (ROOT / "requirements" / "run.in").read_text().splitlines()
    listed = {line for line in lines if line and not line.startswith("#")}
    assert wanted - listed == set()
    assert {re.split(r"[><=;]", line)[0] for line in listed - wanted} == {"setuptools", "wheel"}


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"]
)
def test_the_house_has_its_papers(name: str):
    assert (ROOT / name).is_file()


def test_the_architecture_page_fits_on_200_lines():
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 200
