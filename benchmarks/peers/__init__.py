"""Peers on the same work, each as its documentation says."""
