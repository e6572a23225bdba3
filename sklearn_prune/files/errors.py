"""Errors of the file tool, each one line that says rule, value and remedy."""

from __future__ import annotations


class UsageError(Exception):
    """What is asked for is wrong by itself, whatever the files hold."""


class FileError(Exception):
    """A file cannot be read or written, or does not hold what is asked of it."""
