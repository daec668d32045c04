package ratelimit

// ActiveUsers counts the users of all accounts whose requests are remembered.
func ActiveUsers(a *Accounts) (n int) {
	for _, one := range a.known {
		n += len(one.active)
	}
	return n
}
