"""What a run is asked to be: groups, composition, instantiation; nothing imports torch."""
