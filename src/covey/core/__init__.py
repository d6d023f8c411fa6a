"""What is decided: pure state machines, `handle(event, now) -> [action]`."""
