"""Count, mean and covariance of features, in memory and in files."""

from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.file import StatisticsFile

__all__ = ["FeatureStatistics", "StatisticsFile"]
