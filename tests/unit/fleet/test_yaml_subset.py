"""The YAML that inventories are written in."""

import pytest

from covey.fleet.yaml_subset import DEPTH_MAX, Items, Map, Node, Refused, Scalar, read_yaml


def plain(node: Node) -> object:
    """The node as dicts, lists and strings; what was refused as its reason in brackets."""
    match node:
        case Scalar(text=text):
            return text
        case Refused(reason=reason):
            return f"<{reason}>"
        case Items(items=items):
            return [plain(one) for one in items]
        case Map(values=values):
            return {key: plain(value) for key, value in values.items()}


def read(text: str) -> object:
    node, problems = read_yaml(text)
    assert problems == []
    return plain(node)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("---\n# nothing\n", ""),
        ("a: 1\nb: x y\n", {"a": "1", "b": "x y"}),
        ("a:\nb: ~\nc: null\n", {"a": "", "b": "", "c": ""}),
        ("a: no\nb: 0644\nc: 1.10\n", {"a": "no", "b": "0644", "c": "1.10"}),
        ("a: 'it''s'\n", {"a": "it's"}),
        ('a: "x \\"y\\" \\\\ # z" # comment\n', {"a": 'x "y" \\ # z'}),
        ("a: x # comment\nb: x#y\n", {"a": "x", "b": "x#y"}),
        ("a: http://x:1/y\n", {"a": "http://x:1/y"}),
        ("'a b': 1\n\"c: d\": 2\n", {"a b": "1", "c: d": "2"}),
        ("lab[01:10]:\n", {"lab[01:10]": ""}),
        ("a:   # comment\n  b:\n    c: 1\n", {"a": {"b": {"c": "1"}}}),
        ("a:\n- x\n- y\nb: 1\n", {"a": ["x", "y"], "b": "1"}),
        ("a:\n  - x: 1\n    y: 2\n  - z\n", {"a": [{"x": "1", "y": "2"}, "z"]}),
        ("- a\n- - b\n  - c\n-\n  d: 1\n-\n", ["a", ["b", "c"], {"d": "1"}, ""]),
        ("a: {b: 1, 'c': \"2, 3\", d: }\n", {"a": {"b": "1", "c": "2, 3", "d": ""}}),
        (
            "a: [x, 'y, z', 3] # comment\nb: []\nc: {}\n",
            {"a": ["x", "y, z", "3"], "b": [], "c": {}},
        ),
        ("  a: 1\n  b: 2\n", {"a": "1", "b": "2"}),
        ("a: 1\r\nb: 2\r\n", {"a": "1", "b": "2"}),
        ("a: 1\n...\n", {"a": "1"}),
    ],
)
def test_what_inventories_are_made_of_is_read(text: str, value: object):
    assert read(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &x 1\n", "an anchor is not read"),
        ("a: *x\n", "an alias is not read"),
        ("a: !vault |\n  $ANSIBLE\n  # 33\n", "a tag is not read"),
        ("a: |\n  x: y\n    z\n", "a block of text is not read"),
        ("a: >-\n  x\n", "a block of text is not read"),
        ("a: x\n  y\n", "a value over several lines"),
        ("a: {b: {c: 1}}\n", "braces within braces are not read"),
        ("a: {b: 1\n", "no } ends the line"),
        ("a: [b] c\n", "no ] ends the line"),
        ("a: 'x\n", "the quotes do not end on this line"),
        ("a: 'x' y\n", "something stands behind the quotes"),
        ('a: "\\u00e4"\n', "an escape that is not read here"),
        ("a: b: c\n", "a second colon on the line: put the value into quotes"),
    ],
)
def test_a_value_beyond_the_subset_is_kept_as_refused_and_the_rest_is_read(text: str, reason: str):
    assert read(text + "b: 1\n") == {"a": f"<{reason}>", "b": "1"}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\n\tb: 2\n", 2, "a tab cannot indent a line: use blanks"),
        ("a: 1\na: 2\n", 2, "'a' is said in line 1 already"),
        ("a:\n  b: 1\n c: 2\n", 3, "it is indented deeper than the line it belongs to"),
        ("  a: 1\nb: 2\n", 2, "it is indented less than the line it follows"),
        ("a: 1\nb\nc: 3\n", 2, "it has no colon: write `key: value`"),
        ("a: 1\n- b\n", 2, "an item among keys"),
        ("? a\n", 1, "'?' cannot begin a line here: write `key: value`"),
        ("<<: 1\n", 1, "a merge (<<) is not read: write the values out"),
        ("%YAML 1.2\n", 1, "a directive cannot begin a line here: write `key: value`"),
        ("a: 1\n---\nb: 2\n", 2, "a second document: an inventory is one"),
        ("'a'\n", 1, "behind the quotes stands no colon: write `key: value`"),
    ],
)
def test_a_line_that_is_no_yaml_is_told_with_its_number(text: str, line: int, reason: str):
    _, problems = read_yaml(text)
    assert problems[0] == (line, reason)


def test_deep_nesting_ends_with_a_sentence():
    text = "".join(" " * depth + "a:\n" for depth in range(DEPTH_MAX * 100))
    assert [reason for _, reason in read_yaml(text)[1]] == [
        f"it is nested deeper than {DEPTH_MAX} levels"
    ]
    dashes = "- " * 1_000 + "a\n"
    assert "nested deeper" in read_yaml(dashes)[1][0][1]
