"""The real burnish in an invented world: see `scenario` for what happens, `oracle` for what must hold."""
