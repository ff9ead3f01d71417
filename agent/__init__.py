"""Who decides: localizer, suspects, bisection, repair and the way from an issue to a patch (`solve`, read it first)."""
