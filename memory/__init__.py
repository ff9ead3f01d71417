"""What was learned from past commits."""
