"""`python -m covey`: the same as the command `covey`."""

import sys

from covey.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
