"""How fast a trio decodes beside its target alone, in one run on this machine."""
