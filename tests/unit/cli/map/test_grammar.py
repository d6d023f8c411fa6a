"""The command line of `covey map`: what each word means, and what is said of a wrong one."""

import pytest

from covey.cli.map.grammar import parse_map
from covey.cli.map.help import HELP
from covey.cli.map.options import FLAGS, REFUSED, VALUES
from covey.cli.map.plan import MapPlan, Source
from covey.cli.map.values import SLOTS_MAX, Relative
from covey.errors import UsageError
from covey.model.job import HaltPolicy


def values(*words: bytes, linked: bool = False) -> Source:
    return Source("values", words, linked)


def file(name: bytes, *, linked: bool = False) -> Source:
    return Source("file", (name,), linked)


def test_the_first_word_that_is_no_option_begins_the_command() -> None:
    plan = parse_map(["-k", "echo", "-k", "--tag", ":::", "a", "-j"])
    assert plan.keep_order
    assert not plan.tag
    assert plan.command == (b"echo", b"-k", b"--tag")
    assert plan.sources == (values(b"a", b"-j"),)


def test_two_dashes_end_the_options() -> None:
    assert parse_map(["-k", "--", "-x", "y"]).command == (b"-x", b"y")


def test_items_alone_are_the_commands() -> None:
    plan = parse_map([":::", "echo a"])
    assert plan.command == ()
    assert plan.template().command_text([b"echo a"], 1, 1) == b"echo a"


@pytest.mark.parametrize("argv", [["-kj4", "x"], ["-k", "-j", "4", "x"], ["-j=4"], ["--jobs=4"]])
def test_short_options_cluster_and_values_follow_in_either_word(argv: list[str]) -> None:
    if argv == ["-j=4"]:
        with pytest.raises(UsageError, match="-j =4"):
            parse_map(argv)
        return
    assert parse_map(argv).jobs == Relative("count", 4)


@pytest.mark.parametrize(
    ("text", "cpus", "slots"),
    [
        ("4", 2, 4),
        ("50%", 8, 4),
        ("200%", 3, 6),
        ("+2", 8, 10),
        ("-1", 8, 7),
        ("-9", 8, 1),
        ("10%", 2, 1),
        ("0", 8, SLOTS_MAX),
        ("100000", 8, SLOTS_MAX),
    ],
)
def test_jobs_is_a_number_of_slots_on_each_machine(text: str, cpus: int, slots: int) -> None:
    assert parse_map(["-j", text, "x"]).slots(cpus) == slots


def test_without_jobs_there_is_a_slot_for_each_cpu() -> None:
    assert parse_map(["x"]).slots(8) == 8
    assert parse_map(["x"]).spec(cpus=8)[1].limit == 0


def test_sources_keep_their_order_and_their_links() -> None:
    plan = parse_map(
        ["-a", "one", "x", ":::", "a", ":::+", "b", "::::", "f", "-", "::::+", "g", ":::"]
    )
    assert plan.sources == (
        file(b"one"),
        values(b"a"),
        values(b"b", linked=True),
        file(b"f"),
        file(b"-"),
        file(b"g", linked=True),
        values(),
    )
    assert plan.reads_stdin


def test_items_come_from_standard_input_unless_a_source_is_named() -> None:
    assert parse_map(["x"]).reads_stdin
    assert not parse_map(["x", ":::", "a"]).reads_stdin


def test_env_takes_several_names_or_one_with_its_value() -> None:
    plan = parse_map(["--env", "A,B", "--env", "C=1,D=2", "x"])
    assert plan.env == ("A", "B", "C=1,D=2")


def test_every_option_reaches_the_job() -> None:
    words = "--retries 3 --timeout 2m --halt now,fail=3% --delay 0.5 --nice 5 --memfree 1G"
    plan = parse_map([*words.split(), "--load", "80%", "-j", "3", "--name", "night", "x"])
    job, shape = plan.spec(user="ann", cpus=10)
    assert (job.name, job.user, job.retry.starts_max, job.start_delay_s) == ("night", "ann", 3, 0.5)
    assert job.halt == HaltPolicy("now", "fail", percent=3)
    assert job.shapes == (shape,)
    assert (shape.limit, shape.time_limit_s, shape.nice) == (3, 120.0, 5)
    assert (shape.memfree_bytes, shape.load_max) == (1 << 30, 8.0)
    # As in GNU parallel, --load 0 is the lowest limit, not none.
    assert 0 < parse_map(["--load", "0", "x"]).spec(user="ann", cpus=10)[1].load_max < 0.1


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("never", None),
        ("0", None),
        ("1", HaltPolicy("soon", "fail", count=1)),
        ("2", HaltPolicy("now", "fail", count=1)),
        ("-2", HaltPolicy("now", "success", count=1)),
        ("10%", HaltPolicy("soon", "fail", percent=10)),
        ("soon,done=50%", HaltPolicy("soon", "done", percent=50)),
        ("now,success=2", HaltPolicy("now", "success", count=2)),
    ],
)
def test_halt_is_read_in_all_its_forms(text: str, policy: HaltPolicy | None) -> None:
    assert parse_map(["--halt", text, "x"]).halt == policy


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30.0), ("1d3.5h16.6m4s", 100000.0), (".5", 0.5), ("2m", 120.0)]
)
def test_times_are_written_as_for_gnu_parallel(text: str, seconds: float) -> None:
    assert parse_map(["--timeout", text, "x"]).timeout_s == pytest.approx(seconds)


def test_a_timeout_may_be_a_share_of_the_median() -> None:
    plan = parse_map(["--timeout", "200%", "x"])
    assert (plan.timeout_s, plan.timeout_medians) == (0.0, 2.0)


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("1000", 1000), ("10k", 10_000), ("10K", 10_240), ("1.5M", 1572864)]
)
def test_sizes_are_written_as_for_gnu_parallel(text: str, size_bytes: int) -> None:
    assert parse_map(["--pipe", "--block", text, "x"]).block_bytes == size_bytes


def test_a_joblog_with_a_plus_is_appended_to() -> None:
    plan = parse_map(["--joblog", "+log", "x"])
    assert (plan.joblog, plan.joblog_appends) == ("log", True)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_other_option_of_gnu_parallel_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match="option of GNU parallel that covey map does not have — "):
        parse_map([name, "x"])


def test_no_option_is_both_known_and_refused() -> None:
    assert not (set(FLAGS) | set(VALUES)) & set(REFUSED)


def test_every_field_of_an_option_is_in_the_plan_and_every_option_in_the_help() -> None:
    fields = {"max_replace_args", "max_args", *FLAGS.values()}
    assert fields <= set(MapPlan.__dataclass_fields__)
    for field in set(FLAGS.values()) | set(VALUES.values()) - {"nats_server"}:
        spellings = [name for name, to in (FLAGS | VALUES).items() if to == field]
        assert field == "help" or any(name in HELP for name in spellings), field
    assert max(map(len, HELP.splitlines())) <= 85


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--dry", "x"], "did you mean --dry-run"),
        (["--job-log", "f", "x"], "did you mean --joblog"),
        (["--sem", "x"], "--semaphore is an option of GNU parallel"),
        (["--wibble", "x"], "unknown option --wibble — see: covey map --help"),
        (["--frob", "x"], "unknown option --frob — see: covey map --help"),
        (["--tga", "x"], "unknown option --tga — did you mean --tag?"),
        (["-y", "x"], "unknown option -y"),
        (["--keep-order=1", "x"], "takes no value"),
        (["--joblog"], "--joblog needs a value"),
        (["-j"], "-j needs a value"),
        (["-j", "many", "x"], "-j many: not a number of jobs"),
        (["--halt", "soon", "x"], "--halt soon: give never"),
        (["--halt", "now,fail=0", "x"], "whole number from 1"),
        (["--halt", "now,fail=1.5", "x"], "whole number from 1"),
        (["--timeout", "soon", "x"], "not a time"),
        (["--timeout", "0", "x"], "needs some time"),
        (["--delay", "5x", "x"], "not a time"),
        (["--block", "0", "x"], "not a size"),
        (["--retries", "-1", "x"], "at least 0"),
        (["--on-lost", "panic", "x"], "say rerun"),
        (["--nice", "20", "x"], "-20 to 19"),
        (["--colsep", "(", "x"], "no regular expression"),
        (["--header", "x", "x"], "--header :"),
        (["--env", "1A", "x"], "NAME or NAME=VALUE"),
        (["--env", "A,", "x"], "NAME or NAME=VALUE"),
        (["--env", "_", "x"], "--env _ is GNU parallel's word for all variables"),
        (["-I", "", "x"], "-I needs a value"),
        (["--resume", "x"], "need --joblog FILE or --results DIR"),
        (["--retry-failed"], "needs --joblog"),
        (["--pipe", "x", ":::", "a"], "not from :::"),
        (["--pipe"], "needs a command"),
        (["--pipe", "-X", "x"], "leave out -X"),
        (["x", ":::+", "a"], "link to the source before"),
        (["x", "::::"], ":::: needs a file"),
        (["x", "::::", "-", "-"], "only one of the input files"),
        (["--here", "--cluster", "lab", "x"], "leave out --cluster"),
        (["--wd", "run/{/}", "x"], "--wd is one directory"),
        (["--shuf", "--resume", "--joblog", "l", "x"], "--shuf"),
    ],
)
def test_a_wrong_command_line_gets_one_sentence(argv: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_map(argv)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo {foo}", "unknown placeholder {foo} — columns have names only with --header :"),
        ("cp {} out/{name}.txt", "unknown placeholder {name}"),
        ("echo {= s/a/b/ =}", "no replacement string {= s/a/b/ =}"),
        ("echo {..}", "no replacement string {..}"),
        ("echo {##}", "no replacement string {##}"),
        ("echo {+/}", "no replacement string {+/}"),
    ],
)
def test_an_unknown_placeholder_is_refused(command: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_map([command]).template()
    assert says in str(caught.value)


def test_an_unknown_column_is_refused_with_the_columns_there_are() -> None:
    with pytest.raises(UsageError, match=r"\{nmae\} — the columns are \{name\}, \{age\}"):
        parse_map(["echo {nmae}"]).template((b"name", b"age"))


@pytest.mark.parametrize(
    "command",
    [
        "awk '{print}' {}",
        "awk {print}",
        "echo '{foo}' {}",
        'echo "{foo}"',
        "echo ${HOME} {}",
        "echo {1..3} {a,b} {}",
        "f() { echo; }; f {}",
        r"echo \{foo} {}",
        "jq .{a} {}",
    ],
)
def test_braces_that_mean_something_else_are_left_alone(command: str) -> None:
    assert parse_map([command]).template().text == command.encode()
