"""Who uses the agent and who judges it: GitHub, the Action, the inspector of runs."""
