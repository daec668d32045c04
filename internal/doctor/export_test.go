package doctor

import (
	"context"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/systemd"
)

// JudgeUnits judges the units of an output of systemctl show. Nothing listens on the addresses
// free. It returns false if the service is not installed.
func JudgeUnits(shown string, free ...string) (Finding, bool) {
	u := sortUnits(systemd.ParseUnits(shown))
	u.free = free
	return u.judge(), u.installed()
}

// JudgeStarting judges units of which the service ended as the file last-end says.
func JudgeStarting(shown, lastEnd string) Finding {
	return sortUnits(systemd.ParseUnits(shown)).withLastEnd(lastEnd).judge()
}

// IsFree exports isFree.
func IsFree(address string) bool { return isFree(address) }

// OnHost makes the checks use an output of systemctl show.
func (c Config) OnHost(shown string) Config {
	c.systemd = func(context.Context) (units, error) { return sortUnits(systemd.ParseUnits(shown)), nil }
	return c
}

// JudgeFilter compares the allow lists with an output of systemctl show.
func JudgeFilter(shown string, c *config.Config) []Finding {
	return sortUnits(systemd.ParseUnits(shown)).keptOut(c)
}

// NotRunningBy is what Unavailable says of an output of systemctl show.
func NotRunningBy(shown string) *Finding {
	return sortUnits(systemd.ParseUnits(shown)).notRunning()
}
