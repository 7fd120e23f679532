"""Where the time goes, and how it compares: run by hand on an idle machine, read in docs/scale.md."""
