"""EventHub: one log of messages, and everything that readers need from it."""

__version__ = "0.1.0"
