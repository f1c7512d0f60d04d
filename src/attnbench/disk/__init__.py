"""Space: what a study will take, and whether it is there; without torch, pandas and numpy."""
