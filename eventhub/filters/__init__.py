"""Filters: the arguments of a URL as a query, with one meaning wherever rows or events are read.

`arguments` classifies the keys of a URL, `comparisons` makes conditions of them, `conditions` and
`inside` (for JSON columns) turn a condition into a predicate and into `sql`. `query` is everything
that a reader asked for, `restriction` what the configuration allows it, `weight` what it costs.
"""
