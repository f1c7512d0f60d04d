"""The study file: settings, models, shift, paths and names; knows no other room."""
