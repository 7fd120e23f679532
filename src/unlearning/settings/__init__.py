"""params.yaml: a file per section with its schema, the loader, and the whole. Imports no PyTorch.

A stage loads the sections that it reads and depends on their files alone: an edit of the gate's schema
trains nothing.
"""
