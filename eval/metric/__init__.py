"""Metrics: each a torchmetrics Metric, with a pure function beside it."""

from __future__ import annotations

from eval.metric.bits_per_dim import BitsPerDim as BitsPerDim
from eval.metric.class_accuracy import ClassAccuracy as ClassAccuracy
from eval.metric.clip_score import ClipScore as ClipScore
from eval.metric.clip_score import ClipScoreW25 as ClipScoreW25
from eval.metric.clip_score import clip_score as clip_score
from eval.metric.fid_infinity import FidInfinity as FidInfinity
from eval.metric.fid_infinity import fid_infinity as fid_infinity
from eval.metric.frechet import ClipFrechetDistance as ClipFrechetDistance
from eval.metric.frechet import FrechetDistance as FrechetDistance
from eval.metric.frechet import SpatialFrechetDistance as SpatialFrechetDistance
from eval.metric.frechet import frechet_distance as frechet_distance
from eval.metric.inception_score import InceptionScore as InceptionScore
from eval.metric.inception_score import inception_score as inception_score
from eval.metric.kernel import ClipKernelDistance as ClipKernelDistance
from eval.metric.kernel import KernelDistance as KernelDistance
from eval.metric.kernel import gaussian_mmd as gaussian_mmd
from eval.metric.kernel import kernel_distance as kernel_distance
from eval.metric.metric import MeanMetric as MeanMetric
from eval.metric.metric import Metric as Metric
from eval.metric.metric import NotEstimable as NotEstimable
from eval.metric.nearest import NearestImage as NearestImage
from eval.metric.neighbours import DensityCoverage as DensityCoverage
from eval.metric.neighbours import PrecisionRecall as PrecisionRecall
from eval.metric.neighbours import neighbours as neighbours
from eval.metric.pair.frechet import ReconstructionDistance as ReconstructionDistance
from eval.metric.pair.lpips import PerceptualDistance as PerceptualDistance
from eval.metric.pair.pair import PairMetric as PairMetric
from eval.metric.pair.psnr import PSNR as PSNR
from eval.metric.pair.ssim import SSIM as SSIM
from eval.metric.rows import RowsMetric as RowsMetric
from eval.metric.speed import ImagesPerSecond as ImagesPerSecond
