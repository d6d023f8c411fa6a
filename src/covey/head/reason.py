"""Why something did not work on a machine, in two parts: what, and what to do."""

from covey.errors import ConnectFailed, CoveyError


def explained(error: CoveyError) -> tuple[str, str]:
    """Reason and remedy ("" = nobody knows one)."""
    reason = str(error.data.get("reason") or error.message)
    prefix = "ssh: " if isinstance(error, ConnectFailed) else ""
    return prefix + reason, str(error.data.get("remedy") or "")
