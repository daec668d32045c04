package doctor

import (
	"context"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/systemd"
)

// JudgeUnits is what checkUnits says of that output of systemctl show; false: nothing. systemd does
// not listen on the addresses notOpen of the socket unit.
func JudgeUnits(shown string, notOpen ...string) (Finding, bool) {
	u := sortUnits(systemd.ParseUnits(shown))
	u.socket.NotOpen = notOpen
	return u.judge(), u.installed()
}

// OnHost has the checks find the units of a host whose systemctl shows that.
func (c Config) OnHost(shown string) Config {
	c.systemd = func(context.Context) (units, error) { return sortUnits(systemd.ParseUnits(shown)), nil }
	return c
}

// JudgeFilter is what is said of the allow lists on a host whose systemctl shows that.
func JudgeFilter(shown string, c *config.Config) []Finding {
	return sortUnits(systemd.ParseUnits(shown)).keptOut(c)
}

// NotRunningBy is NotRunning where systemctl shows that.
func NotRunningBy(shown string) (*Finding, []string) {
	return sortUnits(systemd.ParseUnits(shown)).notRunning()
}
