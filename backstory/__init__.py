"""Backstory: a coding agent that knows a repository's past.

The package has one folder for each concern (`graph`, `memory`, `tools`, `agent`, `harness`, `prompts`); `backstory.agent.solve` is the whole
way from an issue to a patch and the file to read first. This module holds nothing but the version, so that importing it costs nothing.
"""

__version__ = "0.1.0"
