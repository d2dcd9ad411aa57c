"""Pictures of finished runs, with matplotlib alone: one drawing a file, one style for all."""
