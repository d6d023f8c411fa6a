"""What the laws measured, for whoever runs them with -s or reads the log of a failure."""

import sys


def tell(what: object) -> None:
    sys.stdout.write(f"{what}\n")
