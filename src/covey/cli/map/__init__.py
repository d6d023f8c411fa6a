"""`covey map`, from its command line to its exit status."""
