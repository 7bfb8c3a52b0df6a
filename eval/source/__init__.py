"""Sources of images, batch by batch, and their export."""

from eval.source.batch import Images
from eval.source.reference_set import ReferenceSet, reference_set
from eval.source.stored import open_images

__all__ = ["Images", "ReferenceSet", "open_images", "reference_set"]
