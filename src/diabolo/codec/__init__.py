"""Compression into files that another machine can open."""
