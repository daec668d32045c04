log {
	level = "[31mred"
}
