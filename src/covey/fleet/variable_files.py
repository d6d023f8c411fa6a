"""Ansible's group_vars/ and host_vars/ beside an inventory: where FISSION keeps `ansible_user`."""

from pathlib import Path

from covey.fleet.formats_yaml import variables_of
from covey.fleet.listing import Listing, Place, Variable
from covey.fleet.source import read_text
from covey.fleet.yaml_subset import Map, read_yaml

#: More files than this beside an inventory are not looked through.
FILES_MAX = 1_000


def read_variable_files(inventory: Path, listing: Listing) -> None:
    """Add what group_vars/ and host_vars/ beside the inventory say to the listing.

    They hold anything that playbooks want. What this YAML subset cannot read is a note, no problem.
    """
    for folder, variables in (
        ("group_vars", listing.group_variables),
        ("host_vars", listing.machine_variables),
    ):
        files = _files(inventory.parent / folder)
        if len(files) > FILES_MAX:
            listing.note(Place(folder), f"more than {FILES_MAX:,} files: none is read")
            continue
        for name, path in files:
            shown = str(path.relative_to(inventory.parent))
            variables.setdefault(name, {}).update(_variables(path, shown, listing))


def _files(folder: Path) -> list[tuple[str, Path]]:
    """(group or machine, file): `pis`, `pis.yml` or any file in a directory `pis`."""
    if not folder.is_dir():
        return []
    found: list[tuple[str, Path]] = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            found += [(path.name, one) for one in sorted(path.iterdir()) if one.is_file()]
        elif path.is_file():
            # `lab1.example.org` is a whole name, `pis.yml` is not.
            is_yaml = path.suffix in (".yml", ".yaml")
            found.append((path.name.removesuffix(path.suffix) if is_yaml else path.name, path))
    return [(name, path) for name, path in found if not _is_copy(path)]


def _is_copy(path: Path) -> bool:
    return path.name.startswith(".") or path.name.endswith(("~", ".bak", ".orig", ".json"))


def _variables(path: Path, shown: str, listing: Listing) -> dict[str, Variable]:
    unread = Listing()
    document, problems = read_yaml(read_text(path, shown, unread))
    for line, reason in problems[:1]:
        unread.bad(Place(shown, line), reason)
    listing.notes += unread.problems
    return variables_of(document, shown) if isinstance(document, Map) else {}
