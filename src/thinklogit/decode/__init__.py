"""Token loops: one narrow interface, and the engines behind it."""
