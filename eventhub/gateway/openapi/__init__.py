"""OpenAPI: `/openapi.json`, a description of what a client may use, for tools and generators.

It is made from the tables that the hub itself works with: controls, formats, columns, error codes.
"""
