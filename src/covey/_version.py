"""The version, in one place: the wheel, `covey --version` and `Hello` read it from here."""

VERSION = "0.1.0"
