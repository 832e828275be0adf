"""Projections: tables derived from the events; they can always be deleted and rebuilt."""
