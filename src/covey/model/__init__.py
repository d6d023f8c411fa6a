"""What exists: pure data, frozen, no I/O."""
