"""How it is tested: real servers, waits with limits. Not imported by the product."""
