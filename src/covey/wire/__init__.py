"""What is said: messages, frames, subjects and signatures. Pure."""
