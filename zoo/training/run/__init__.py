"""What a run is: its folder, its settings, and going on from its state."""
