"""From a source of images to arrays on the disk: list, decode, pack, split.

Nothing is imported here: the processes that decode must not load torch.
"""

SUBSETS = ("train", "validation", "test")
# withdrawn: stands under a class to keep, but shows an image to forget. The original, which must forget it,
# was trained on it; the retrained models and the game do not see it, and no figure is measured on it.
ROLES = ("forget", "retain", "withdrawn")
