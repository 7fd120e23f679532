"""What methods share: targets, adversaries, losses, the game's bookkeeping, and the cost."""
