"""The JSON schemas of docs/reference/schemas, to hold real output against."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[3] / "docs" / "reference" / "schemas"


def schema(name: str) -> dict[str, Any]:
    """The schema of that name."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return found


def checked(name: str, text: str) -> dict[str, Any]:
    """`text` as one JSON value that fits the schema `name`."""
    value: dict[str, Any] = json.loads(text)
    Draft202012Validator(schema(name)).validate(value)  # pyright: ignore[reportUnknownMemberType]
    return value
