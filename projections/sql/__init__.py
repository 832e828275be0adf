"""SQL: queries of users, in a process that holds the tables of one SQLHandler and nothing else.

The process is the boundary (ADR-56). `process` starts it and watches over it in the hub; `worker`
is what runs in it; `guard` decides which statements are run; `encoding` writes the rows.
"""
