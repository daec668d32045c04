package doctor

import (
	"context"
	"strings"

	"oauth-proxyd/internal/systemd"
)

// NotRunning is what systemd says of a daemon that does not respond; nil: nothing, or that it runs.
// Idle is no error: systemd listens on those addresses, and the first request starts the daemon.
func NotRunning(ctx context.Context) (f *Finding, idle []string) {
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	u, err := askUnits(ctx)
	if err != nil || !u.installed() {
		return nil, nil
	}
	return u.notRunning()
}

func (u units) notRunning() (f *Finding, idle []string) {
	ending := systemd.Ending(u.service.Result, u.service.ExitStatus)
	switch s := u.service; {
	case s.Active == "active", s.Active == "activating" && ending == "":
		return nil, nil
	case s.Load != "masked" && ending != "":
		now := "stopped"
		if s.Active == "activating" {
			now = "restarting"
		}
		stopped := fail("%s: %s", now, ending).fix(fixExit(s.ExitStatus)...)
		return &stopped, nil
	case u.waits():
		found := ok("%s listens on %s; the first request starts it", socketUnit, strings.Join(u.addresses(), ", "))
		return &found, u.addresses()
	}
	found := u.judge()
	return &found, nil
}

// addresses are those on which systemd listens for the daemon.
func (u units) addresses() []string {
	all := append(u.socket.Listen, u.socket.Paths...)
	for _, s := range u.others {
		if s.Active == "active" {
			all = append(all, append(s.Listen, s.Paths...)...)
		}
	}
	return all
}
