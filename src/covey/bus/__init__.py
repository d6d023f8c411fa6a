"""How it is carried: the port and its NATS adapter. The only package that knows NATS."""

from covey.bus.deferring import defer

defer()
