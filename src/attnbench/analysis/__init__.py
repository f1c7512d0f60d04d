"""Scores in; means, effects, ranks and cost out, as plain data frames."""
