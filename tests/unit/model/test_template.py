"""What becomes of a command; against GNU parallel itself see tests/property."""

import pytest

from covey.errors import DecodeError
from covey.model.pack import pack, unpack
from covey.model.shellwords import plain_argv, quote
from covey.model.template import Mode, Template


def text(command: str, *args: bytes, mode: Mode = "one", names: tuple[bytes, ...] = ()) -> bytes:
    template = Template.parse(command.encode(), mode=mode, names=names)
    return template.command_text(args, 7, 2)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (b"", b"''"),
        (b"a/b-c_d.e+1", b"a/b-c_d.e+1"),
        (b"a b", b"'a b'"),
        (b"it's", b"'it'\"'\"'s'"),
        (b"'", b'"\'"'),
        (b"a\nb", b"'a\nb'"),
        (b"\xff", b"'\xff'"),
        (b"$(x)", b"'$(x)'"),
        (b"~", b"'~'"),
        (b"a=b", b"'a=b'"),
    ],
)
def test_a_value_is_quoted_as_one_word(value: bytes, word: bytes) -> None:
    assert quote(value) == word


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("x {}", b"x 'd e/f.g.h'"),
        ("x {.} {/} {//} {/.}", b"x 'd e/f.g' f.g.h 'd e' f.g"),
        ("x {#} {%}", b"x 7 2"),
        ("x {1} {1/.} {-1//}", b"x 'd e/f.g.h' f.g 'd e'"),
        ("x {2}{9}", b"x "),
        ("x", b"x 'd e/f.g.h'"),
        ("x {#}", b"x 7"),
        ("x {foo} {1..2} ${y}", b"x {foo} {1..2} ${y} 'd e/f.g.h'"),
    ],
)
def test_replacement_strings_stand_for_the_argument(command: str, line: bytes) -> None:
    assert text(command, b"d e/f.g.h") == line


def test_several_arguments_are_joined_or_the_word_around_them_is_repeated() -> None:
    assert text("x a{}b {2}", b"p", b"q r") == b"x ap 'q r'b 'q r'"
    assert text("x a{}b {2}", b"p", b"q r", mode="context") == b"x apb a'q r'b 'q r'"


def test_columns_have_names() -> None:
    assert text("x {b.} {a}", b"1", b"2.c", names=(b"a", b"b")) == b"x 2 1"


def test_a_command_that_begins_with_a_replacement_string_is_code() -> None:
    assert text("{} x", b"echo a; b") == b"echo a; b x"
    assert text("A={} x", b"echo a; b") == b"A='echo a; b' x"
    assert Template.parse([]).command_text([b"echo a; b"], 1, 1) == b"echo a; b"


def test_missing_arguments_leave_no_word() -> None:
    rendered = Template.parse(b"x {2} a{2}").render([b"p"], seq=1, slot=1)
    assert rendered.argv == [b"x", b"a"]


def test_an_empty_argument_is_a_word() -> None:
    assert Template.parse(b"x").render([b""], seq=1, slot=1).argv == [b"x", b""]


def test_words_of_joined_arguments_are_those_of_the_shell() -> None:
    rendered = Template.parse(b"x a{}b").render([b"p", b"q", b""], seq=1, slot=1)
    assert rendered.argv == [b"x", b"ap", b"q", b"b"]


@pytest.mark.parametrize(
    "command",
    [
        b"cd {}",
        b"exit {}",
        b": {}",
        b"A=1 x {}",
        b"x ~ {}",
        b"x *.c {}",
        b"x {} | y",
        b"x {} > y",
        b"x; y {}",
        b"x $HOME {}",
        b"x `y` {}",
        b'x "{}"',
        b"x '{}'",
        b"x \\{}",
        b"x {}\ny",
        b"x # {}",
        b"! x {}",
        b"if {}",
        b"time x {}",
        b"printf {}",
        b"x & {}",
        b"x {a,b} {}",
        b"myfunction {}",
        b"x^ {}",
        b"[ {} ]",
    ],
)
def test_what_only_a_shell_can_read_goes_to_the_shell(command: bytes) -> None:
    template = Template.parse(command, functions=[b"myfunction"])
    rendered = template.render([b"i"], seq=1, slot=1)
    assert rendered.argv is None
    assert rendered.script == template.command_text([b"i"], 1, 1)


def test_plain_words_need_no_shell() -> None:
    template = Template.parse(b"/bin/x --opt=1 'a b*' c{}d {#}")
    rendered = template.render([b"i'\n$"], seq=3, slot=1)
    assert rendered.argv == [b"/bin/x", b"--opt=1", b"a b*", b"ci'\n$d", b"3"]


@pytest.mark.parametrize("item", [b"-n", b"--version", b"a\\n"])
def test_echo_needs_the_shell_where_shells_and_programs_differ(item: bytes) -> None:
    template = Template.parse(b"echo")
    assert template.render([item], seq=1, slot=1).argv is None
    assert template.render([b"plain"], seq=1, slot=1).argv == [b"echo", b"plain"]


def test_a_shell_with_a_start_up_file_is_never_bypassed() -> None:
    assert Template.parse(b"x", functions=None).render([b"i"], seq=1, slot=1).argv is None


def test_items_that_are_commands_need_a_shell_only_for_its_syntax() -> None:
    template = Template.parse(b"", functions=[b"f"])
    assert template.render([b"gzip -k a"], seq=1, slot=1).argv == [b"gzip", b"-k", b"a"]
    for code in (b"cd x", b"a | b", b"f x", b"", b"X=1 y", b"echo -n"):
        assert template.render([code], seq=1, slot=1).script == code


def test_a_template_travels() -> None:
    template = Template.parse(
        [b"x", b"{} {a.} {#}"],
        replacement=b"{}",
        mode="context",
        names=[b"a"],
        append=False,
        functions=[b"f", b"e"],
        numbered=True,
    )
    assert Template.from_wire(unpack(pack(template.to_wire()))) == template


@pytest.mark.parametrize("obj", [None, [], [b"x"], "text", {}, [1, 2, 3, 4, 5, 6, 7]])
def test_what_is_no_template_is_refused(obj: object) -> None:
    with pytest.raises(DecodeError):
        Template.from_wire(obj)


def test_a_number_may_travel_behind_the_arguments() -> None:
    template = Template.parse(b"x {} {#}", numbered=True)
    assert template.command_text([b"a", b"41"], 1, 1) == b"x a 41"
    rendered = template.render([b"a", b"41"], seq=1, slot=1)
    assert (rendered.argv, rendered.seq) == ([b"x", b"a", b"41"], 41)


def test_names_of_files_are_filled_in_without_quotes() -> None:
    assert Template.parse(b"out/{}.{#}").fill([b"a b"], 3, 1) == b"out/a b.3"


@pytest.mark.parametrize("line", [b"", b"  ", b"=x", b"a=b c", b"x 'open", b"x\n"])
def test_lines_that_are_no_plain_command_are_not_cut_into_words(line: bytes) -> None:
    assert plain_argv(line) is None
