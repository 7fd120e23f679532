"""How networks run: on which hardware, in which memory, by several processes, and on after they were killed."""
