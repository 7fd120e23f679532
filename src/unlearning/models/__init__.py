"""Classifiers: how one is built, where its parts are, run over images, trained, written and read.

Nothing is imported here: a stage depends on this room as a whole, and imports what it needs.
"""
