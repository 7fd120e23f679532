"""The evidence: attacks on the unlearned model, and how far it is from models that never saw the class.

Every figure is taken from every model of a `panel.Panel`: the *subjects* (unlearned; original and
head-edited as controls) and the *references* (retrained, one per seed). How far a subject is from the
references is held against how far these are from one another: the floor.

- `observation`: what each model makes of the audited images, computed once, shared by all figures
- `estimates`: a figure with its interval over images; `panel`: models side by side, distances, floors
- `outputs`, `membership`, `representation`, `relearning`, `auditor`, `neighbours`: the figures
- `evidence`: all of them together; `verdict`: what they amount to in words

Nothing of the game is used here: its discriminator never judges the model it trained.
"""
