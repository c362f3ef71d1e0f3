"""What keeps a store: compact, prune, vacuum, snapshots, verify, repair, reproduce. Each proves itself or refuses."""
