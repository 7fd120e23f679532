"""What every stage stands on: errors, files, progress, the machine's cores; none of it needs PyTorch.

Small and rarely edited: an edit here makes every stage run again.
"""
