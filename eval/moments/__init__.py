"""Count, mean and covariance of features, in memory and in files, and their distance."""

from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.file import StatisticsFile
from eval.moments.frechet import frechet_distance

__all__ = ["FeatureStatistics", "StatisticsFile", "frechet_distance"]
