"""A picture that is changed itself: how much of it is kept, which part is repainted, how far it is extended."""
