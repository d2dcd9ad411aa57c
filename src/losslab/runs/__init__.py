"""Files of a run: folder, record, curves and events. Imports neither torch nor Lightning."""
