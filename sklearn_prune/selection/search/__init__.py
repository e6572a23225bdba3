"""Selections of many rows, improved by exchanges."""
