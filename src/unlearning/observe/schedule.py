"""How relearning is run and checked; what the figures made of it must know, too."""

# Kinds of fine-tuning, by the images that it takes.
WITH_FORGET_IMAGES, RETAIN_ONLY = "forget and retain", "retain only"
FEW_IMAGES = 16
LEARNING_RATE = 1e-4
FORGET_PER_STEP, RETAIN_PER_STEP = 4, 12
STEPS = 16
PASSES_PER_STEP = FORGET_PER_STEP + RETAIN_PER_STEP
BUDGET = STEPS * PASSES_PER_STEP
# Steps between two checks of the curve: close where it is asked when the class is back.
CHECK_EVERY, CHECK_RETAIN_ONLY_EVERY = 2, 4
RESOLUTION = CHECK_EVERY * PASSES_PER_STEP
# The class counts as back at this share of the original's accuracy.
BACK_AT = 0.8
# The curve is read on at most this many forget test images.
CHECKED_IMAGES = 200
