"""A finished request in one file: what was forgotten, by which run, and what the audit found.

Written from a workspace, checked against one, signed if wished. See docs/certificate.md.
"""
