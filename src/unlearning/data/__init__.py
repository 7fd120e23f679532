"""From a source of images to arrays on the disk: list, decode, pack, split.

Nothing is imported here: the processes that decode must not load torch.
"""

SUBSETS = ("train", "validation", "test")
ROLES = ("forget", "retain")
