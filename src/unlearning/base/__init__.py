"""What every stage stands on: errors, files, hardware, progress, resuming.

Small and rarely edited: an edit here makes every stage run again.
"""
