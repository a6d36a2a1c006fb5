"""DAM over many settings: neighbours searched once, every setting evaluated by itself."""
