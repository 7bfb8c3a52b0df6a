"""One pass: images through extractors into metrics, into one result."""
