"""Filters: the arguments of a URL as a query, with one meaning wherever rows or events are read.

`arguments` classifies the keys of a URL, `comparisons` makes them conditions, `conditions` and
`inside` (for JSON columns) spell a condition as a predicate and as SQL, `query` is the whole of
what a reader asked for, `restriction` what the configuration allows it, and `weight` what it costs.
"""
