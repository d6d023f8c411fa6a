"""For all tests."""

import signal

# A runner that was itself started in the background hands down ignored signals (`nohup … &`):
# tests of Ctrl-C would test that. What we start inherits what we are.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
