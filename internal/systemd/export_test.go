package systemd

// ParseView exports parseView.
func ParseView(shown string) []string { return parseView(shown) }
