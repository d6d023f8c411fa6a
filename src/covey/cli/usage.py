"""A wrong command line in one line: what is wrong, and what to type."""

import click

from covey.cli.near import unknown_option

#: Exit codes (see `cli.main`); click knows no Ctrl-C of its own when it is not standalone.
_USAGE, _INTERRUPTED = 2, 130


def usage_line(error: Exception) -> tuple[str, int]:
    """The sentence (empty: say nothing) and exit code for what click raised."""
    if isinstance(error, click.exceptions.Abort):
        return "", _INTERRUPTED
    if not isinstance(error, click.ClickException):
        return f"{type(error).__name__}: {error}", 1
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error), _USAGE
    message = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "covey"
    if message[:1].isupper() and not message[1:2].isupper():
        message = message[0].lower() + message[1:]
    return f"{message} — see: {path} --help", _USAGE


def _no_such_option(error: click.NoSuchOption) -> str:
    # Not click's own possibilities: it calls `--now` near to `--job`.
    name = error.option_name
    if error.ctx is None:
        return unknown_option(name, (), "covey")
    options = [
        spelling
        for parameter in error.ctx.command.get_params(error.ctx)
        if isinstance(parameter, click.Option) and not parameter.hidden
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    ]
    return unknown_option(name, options, error.ctx.command_path)
