"""`covey sim`, from its command line to its tables and pictures."""
