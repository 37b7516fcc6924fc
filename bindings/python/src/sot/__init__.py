"""Skeleton-of-Thought on a LLaMA runtime: the Python side of libsot."""
