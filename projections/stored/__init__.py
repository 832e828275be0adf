"""Stored: all tables of a projector at one moment, in parts, for processes that have no tables.

`writing` stores such a snapshot again and again, and `loading` begins with the best one that fits,
as `fitting` decides. `manifest` says what one consists of. They are kept in a store of objects, of
which `folder` is one.
"""
