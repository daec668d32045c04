package doctor

// JudgeUnits is what checkUnits says of that output of systemctl show; false: nothing.
func JudgeUnits(shown string) (Finding, bool) {
	u := parseUnits(shown)
	return u.judge(), u.installed()
}
