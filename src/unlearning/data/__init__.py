"""What is to be forgotten, which images train and test, and the packed images as tensors."""

SUBSETS = ("train", "validation", "test")
# withdrawn: stands under a class to keep, but shows an image to forget. The original, which must forget it,
# was trained on it; the retrained models and the game do not see it, and no figure is measured on it.
ROLES = ("forget", "retain", "withdrawn")
