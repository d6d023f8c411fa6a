"""Charts as SVG: what is drawn where."""

from xml.etree import ElementTree

import pytest

from covey.cli.chart import HEIGHT, WIDTH, Chart, Series, stacked

SVG = "{http://www.w3.org/2000/svg}"


def lines_of(text: str) -> list[list[tuple[float, float]]]:
    found = ElementTree.fromstring(text).iter(f"{SVG}polyline")
    return [
        [
            (float(x), float(y))
            for x, y in (pair.split(",") for pair in one.attrib["points"].split())
        ]
        for one in found
    ]


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize(
    "points",
    [
        [(0.1, 5.0), (0.5, 80.0), (0.9, 4000.0)],
        [(0.8, 70.0)],
        [(0.0, 3.0), (0.0, 3.0)],
        [(1000.0, 0.001), (1001.0, 0.002)],
    ],
)
def test_every_point_is_inside_the_picture_and_larger_is_higher(
    points: list[tuple[float, float]], is_log: bool
):
    (line,) = lines_of(Chart("t", "x", "y", [Series("s", points)], is_log=is_log).to_svg())
    assert len(line) == len(points)
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in line)
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert [y for _, y in line] == sorted((y for _, y in line), reverse=True)


def test_what_a_logarithm_cannot_show_is_left_out():
    (line,) = lines_of(Chart("t", "x", "y", [Series("s", [(0, 0), (1, 10)])], is_log=True).to_svg())
    assert len(line) == 1


def test_names_are_escaped_and_charts_stand_below_each_other():
    chart = Chart("a < b & c", "x", "y", [Series("<script>", [(0.0, 1.0), (1.0, 2.0)])])
    tree = ElementTree.fromstring(stacked([chart, chart]))
    assert tree.attrib["height"] == str(2 * HEIGHT)
    texts = [text.text for text in tree.iter(f"{SVG}text")]
    assert texts.count("a < b & c") == texts.count("<script>") == 2


def test_a_chart_of_nothing_is_a_chart():
    assert lines_of(Chart("t", "x", "y", []).to_svg()) == []
