"""Stored: all tables of a projector at one moment, in parts, for processes that have no tables.

`writing` stores such a snapshot again and again, `loading` starts from the newest that fits, and
`manifest` says what one consists of. They are kept in a store of objects, of which `folder` is one.
"""
