"""What methods share: adversaries, losses, steps, the game's bookkeeping, and the cost."""
