"""The processes of one training: how they start, agree, fail together and are put in line again."""
