"""What each verb does with its config: one evaluation or many."""
