"""Where images come from: drawn here or read from a folder, decoded once, packed into shards.

Nothing is imported here: the processes that decode must not load torch.
"""
