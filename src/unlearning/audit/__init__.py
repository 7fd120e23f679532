"""The judgement: attacks on the unlearned model, and how far it is from models that never saw the class.

Every figure is taken from every model of a `models.panel.Panel`: the *subjects* (unlearned; original and
head-edited as controls) and the *references* (retrained, one per seed). How far a subject is from the
references is held against how far these are from one another: the floor. No network is run here: what the
models make of the audited images was written down by the stage `observe`.

- `catalogue`: every figure once, with its words; `words`: the few words that stand in metrics/
- `outputs`, `membership`, `representation`, `relearning`, `auditor`: a level each, with its `figures`
- `estimates`: a figure with its interval over images; `compare`: distances and floors
- `evaluation`, `assessment`: the article's evaluation, and what accuracy alone says
- `limits`, `attacks`: whether it could be one more retrained model; without any, whether something
  contradicts that it is one; `calibration`: what both were measured by, and how often they err
- `gap`: what papers compare; `columns`: of the tables in plots/
- `neighbours`: which kept classes lose or gain; `verdict`, `result`: what all figures amount to

Nothing of a method is used here: the discriminator of the game never judges the model it trained.
"""
