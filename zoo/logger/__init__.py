"""Where training curves are written."""
