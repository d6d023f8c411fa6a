"""--results: where the output of each task is kept."""

import csv
import io
import json
from pathlib import Path

import pytest

from covey.cli.map.grammar import parse_map
from covey.cli.map.results import open_results
from covey.cli.map.rows import Logged
from covey.errors import FileError, UsageError


def task(seq: int, *args: bytes, out: bytes = b"o\n", err: bytes = b"") -> Logged:
    return Logged(seq, ":", 1.5, 0.25, 0, len(out), 0, 0, b"x y", args, out, err)


def keep(
    target: Path | str, *argv: str, tasks: list[Logged], names: tuple[bytes, ...] = ()
) -> None:
    results = open_results(parse_map(["--results", str(target), *argv, "x"]), names)
    assert results is not None
    for one in tasks:
        results.write(one)
    results.close()


def files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text(errors="replace")
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_directory_has_a_folder_for_each_value(tmp_path: Path) -> None:
    keep(tmp_path, tasks=[task(7, b"a", b"b/c", err=b"e")])
    assert files(tmp_path) == {
        "1/a/2/b\\_c/stdout": "o\n",
        "1/a/2/b\\_c/stderr": "e",
        "1/a/2/b\\_c/seq": "7",
    }


def test_columns_name_the_folders_in_their_own_order(tmp_path: Path) -> None:
    keep(tmp_path, tasks=[task(1, b"p", b"q", b"r", b"s")], names=(b"b10", b"a1", b"10", b"2"))
    assert "a1/q/b10/p/2/s/10/r/seq" in files(tmp_path)


def test_several_items_of_one_source_share_its_number(tmp_path: Path) -> None:
    keep(tmp_path, "-N2", tasks=[task(1, b"p", b"q")])
    assert "1/p/1/q/seq" in files(tmp_path)


def test_no_value_leads_out_of_the_directory_or_onto_another(tmp_path: Path) -> None:
    root = tmp_path / "r"
    values = [b"..", b".", b"../../x", b"\\", b"\t", b"a" * 300, b"a" * 300 + b"b", b"\\."]
    keep(root, tasks=[task(n, value) for n, value in enumerate(values, 1)])
    found = files(tmp_path)
    assert all(name.startswith("r/1/") for name in found)
    assert sorted(text for name, text in found.items() if name.endswith("/seq")) == [
        str(n) for n in range(1, len(values) + 1)
    ]


def test_a_name_with_replacement_strings_is_filled_in(tmp_path: Path) -> None:
    keep(tmp_path / "my_{}.{#}", tasks=[task(3, b"a b")])
    keep(f"{tmp_path}/in_{{}}/", tasks=[task(3, b"c")])
    assert set(files(tmp_path)) == {
        *("my_a b.3", "my_a b.3.err", "my_a b.3.seq"),
        *("in_c/stdout", "in_c/stderr", "in_c/seq"),
    }


def test_a_csv_file_reads_back(tmp_path: Path) -> None:
    out = b'x,"\ny'
    keep(tmp_path / "r.csv", tasks=[task(1, b"a b", b"c", out=out), task(2, b"d", b"e")])
    rows = list(csv.reader(io.StringIO((tmp_path / "r.csv").read_text(), newline="")))
    assert " ".join(rows[0]) == (
        "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command V1 V2 Stdout Stderr"
    )
    assert rows[1][8:] == ["x y", "a b", "c", out.decode(), ""]
    assert rows[1][:4] == ["1", ":", "1.500", "0.250"]
    assert len(rows) == 3


def test_a_csv_file_quotes_where_gnu_parallel_does(tmp_path: Path) -> None:
    keep(tmp_path / "r.csv", tasks=[task(1, b"x,y", b"it's", out=b"")])
    keep(tmp_path / "r.tsv", tasks=[task(1, b"x,y", b'a"b', out=b"")])
    assert (tmp_path / "r.csv").read_text().splitlines()[1].endswith('"x y","x,y",it\'s,,')
    assert (tmp_path / "r.tsv").read_text().splitlines()[1].endswith('"x y"\tx,y\t"a""b"\t\t')


def test_columns_name_the_fields_of_a_table(tmp_path: Path) -> None:
    keep(tmp_path / "r.tsv", tasks=[task(1, b"a")], names=(b"name",))
    assert (tmp_path / "r.tsv").read_text().split("\n")[0].split("\t")[8:] == [
        *("Command", "name", "Stdout", "Stderr")
    ]


def test_a_json_file_has_a_valid_object_on_each_line(tmp_path: Path) -> None:
    keep(tmp_path / "r.json", tasks=[task(1, b"\xff\n", "é".encode(), out=b'"\\')])
    value = json.loads((tmp_path / "r.json").read_bytes())
    assert list(value)[:3] == ["Seq", "Host", "Starttime"]
    assert value["V"] == ["\udcff\n", "é"]
    assert value["Stdout"] == '"\\'


def test_a_table_goes_on_when_a_job_is_resumed(tmp_path: Path) -> None:
    target = tmp_path / "r.csv"
    keep(target, tasks=[task(1, b"a")])
    keep(target, "--resume", "--joblog", "l", tasks=[task(2, b"b")])
    assert [line[:2] for line in target.read_text().splitlines() if line[:1].isdigit()] == [
        *("1,", "2,")
    ]


def test_a_table_goes_on_when_its_job_does(tmp_path: Path) -> None:
    target = tmp_path / "r.csv"
    keep(target, tasks=[task(1, b"a")])
    results = open_results(parse_map(["--results", str(target), "x"]), (), append=True)
    assert results is not None
    results.write(task(2, b"b"))
    results.close()
    assert [line[:2] for line in target.read_text().splitlines() if line[:1].isdigit()] == [
        *("1,", "2,")
    ]


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    keep(tmp_path, tasks=[task(1, b"a")])
    results = open_results(parse_map(["--results", str(tmp_path), "--resume", "x"]), ())
    assert results is not None
    assert results.has([b"a"], 1)
    assert not results.has([b"b"], 2)


def test_results_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the results"):
        open_results(parse_map(["--results", str(tmp_path / "file" / "x"), "x"]), ())
    with pytest.raises(UsageError, match="cannot write the results"):
        open_results(parse_map(["--results", str(tmp_path / "no" / "x.csv"), "x"]), ())
    with pytest.raises(FileError, match="cannot write the results"):
        keep(tmp_path / "file" / "{}.txt", tasks=[task(1, b"a")])
