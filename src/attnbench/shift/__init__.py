"""Models beside their own test folds: on other datasets, on images made worse, trained on fewer groups."""
