"""What is to be forgotten, which images train and test, and the packed images as tensors."""

SUBSETS = ("train", "validation", "test")
# withdrawn: is to be kept, but shows an image to forget. The original, which must forget it, was trained on it;
# the retrained models and the game do not see it, and no figure is measured on it. earlier: belongs to a
# request that was met before; nothing is trained on it any more.
ROLES = ("forget", "retain", "withdrawn", "earlier")
