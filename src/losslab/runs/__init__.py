"""A run's memory: its folder, record, curves and events. Imports neither torch nor Lightning."""
