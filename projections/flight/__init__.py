"""Arrow Flight SQL: the SQLHandlers of a hub, for clients with ADBC or JDBC (ADR-65)."""
