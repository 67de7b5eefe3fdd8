"""Datasets as lists of records, their low-resolution images, and the manifests that fix both."""
