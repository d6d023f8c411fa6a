"""How agents get onto machines, over the user's own OpenSSH."""
