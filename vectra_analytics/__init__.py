"""Record episodes, ask questions of them, look at the answers."""
