"""From a user's folder to a dataset of a catalog: what lies there, what is wrong, what it means."""
