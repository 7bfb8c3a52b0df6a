"""What frozen networks make of a data set, computed once: latents and captions' embeddings."""
