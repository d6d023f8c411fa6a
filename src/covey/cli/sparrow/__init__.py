"""`covey sparrow`, from its command line to its tables."""
