"""What runs faster without another result, and what a run costs."""
