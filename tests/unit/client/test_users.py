"""Whose share the work of a process counts against."""

import os
import pwd

import pytest

from covey.client.users import user_of_call


def test_the_user_is_the_one_of_the_environment_else_that_of_the_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "bob")
    monkeypatch.setenv("USER", "alice")
    assert user_of_call() == "alice"
    monkeypatch.delenv("USER")
    assert user_of_call() == "bob"
    monkeypatch.delenv("LOGNAME")
    assert user_of_call() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 54_321_987)
    assert user_of_call() == "54321987"
