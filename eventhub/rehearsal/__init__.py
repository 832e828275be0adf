"""Rehearsal: events of the log through another configuration, and what it would do differently."""
