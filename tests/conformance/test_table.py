"""The table itself: every row has a number, every marker a row."""

import pytest
from tests.conformance.table import ROWS, page, shown_by_tests


@pytest.mark.row(40)
def test_every_capability_is_a_row_and_every_marker_names_one():
    assert [row.number for row in ROWS] == list(range(1, 41))
    assert {shown.row for shown in shown_by_tests()} <= {row.number for row in ROWS}


@pytest.mark.row(40)
def test_the_page_names_every_test_of_a_row():
    text = page()
    for shown in shown_by_tests():
        assert shown.test.removeprefix("test_").replace("_", " ") in text
