package doctor

import (
	"context"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/systemd"
)

// JudgeUnits judges the units of an output of systemctl show. systemd does not listen on the
// addresses notOpen. It returns false if the service is not installed.
func JudgeUnits(shown string, notOpen ...string) (Finding, bool) {
	u := sortUnits(systemd.ParseUnits(shown))
	u.socket.NotOpen = notOpen
	return u.judge(), u.installed()
}

// JudgeStarting judges units of which the service has ended so in the last minute.
func JudgeStarting(shown string, exits systemd.Exits) Finding {
	u := sortUnits(systemd.ParseUnits(shown))
	u.exits = exits
	return u.judge()
}

// OnHost makes the checks use an output of systemctl show.
func (c Config) OnHost(shown string) Config {
	c.systemd = func(context.Context) (units, error) { return sortUnits(systemd.ParseUnits(shown)), nil }
	return c
}

// JudgeFilter compares the allow lists with an output of systemctl show.
func JudgeFilter(shown string, c *config.Config) []Finding {
	return sortUnits(systemd.ParseUnits(shown)).keptOut(c)
}

// NotRunningBy is NotRunning for an output of systemctl show.
func NotRunningBy(shown string) *Finding {
	return sortUnits(systemd.ParseUnits(shown)).notRunning()
}
