"""Metrics: each a torchmetrics Metric, with a pure function beside it."""

from __future__ import annotations

from eval.metric.clip_score import ClipScore as ClipScore
from eval.metric.clip_score import clip_score as clip_score
from eval.metric.frechet import FrechetDistance as FrechetDistance
from eval.metric.frechet import frechet_distance as frechet_distance
from eval.metric.metric import Metric as Metric
