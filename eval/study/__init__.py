"""The verbs of evaluation: from a composed config to one evaluation or many."""
