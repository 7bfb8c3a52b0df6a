"""Loggers of training curves."""
