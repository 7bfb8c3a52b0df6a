"""The maths of one noise level: noising, losses, predictions, likelihood."""
