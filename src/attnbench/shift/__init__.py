"""Models beside their own test folds: on other datasets, on corrupted images, trained on fewer
groups.
"""
