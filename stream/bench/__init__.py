"""How fast events are scored, and how soon: the whole job on an embedded broker, from events to both outputs."""
