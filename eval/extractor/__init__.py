"""Extractors: images to features, which do not depend on an image's batch."""

from eval.extractor.clip import CroppedClip as CroppedClip
from eval.extractor.clip import OpenClip as OpenClip
from eval.extractor.dino import DinoV2 as DinoV2
from eval.extractor.dino import Edm2DinoV2 as Edm2DinoV2
from eval.extractor.extractor import Extractor as Extractor
from eval.extractor.extractor import TextExtractor as TextExtractor
from eval.extractor.inception import CleanInception as CleanInception
from eval.extractor.inception import Inception as Inception
from eval.extractor.small import Small as Small
from eval.extractor.small import SmallClip as SmallClip
