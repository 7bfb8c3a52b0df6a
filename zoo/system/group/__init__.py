"""The processes of one training: which this is, and values, sums and means of all of them."""
