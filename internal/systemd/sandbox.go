package systemd

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// InService returns a command that runs a program as a service of the system does: as its user,
// with its environment, and with the files that its sandbox shows. The command is nil if systemd
// does not run or does not know the service, or if it is a service of root. Only root may start the
// command, see systemd-run(1).
func InService(ctx context.Context, service, program string, args ...string) (*exec.Cmd, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return nil, nil //nolint:nilnil // no command
	}
	shown, err := systemctlShow(ctx, viewProperties, service)
	properties := parseView(shown)
	if err != nil || properties == nil {
		return nil, err
	}
	words := []string{"--quiet", "--pipe", "--wait", "--collect"}
	for _, p := range properties {
		words = append(words, "--property="+p)
	}
	c := exec.CommandContext(ctx, "systemd-run", append(append(words, "--", program), args...)...)
	c.WaitDelay = time.Second
	return c, nil
}

// viewProperties decide which files a service can read.
const viewProperties = "User,Group,SupplementaryGroups,Environment,PrivateTmp,ProtectHome,InaccessiblePaths,BindPaths,BindReadOnlyPaths,TemporaryFileSystem"

// parseView returns the properties of a service as systemd-run takes them; nil: it can read all.
func parseView(shown string) (properties []string) {
	for line := range strings.Lines(shown) {
		p := strings.TrimSpace(line)
		if _, value, _ := strings.Cut(p, "="); value != "" {
			properties = append(properties, p)
		}
	}
	if !slices.ContainsFunc(properties, func(p string) bool { return strings.HasPrefix(p, "User=") && p != "User=root" }) {
		return nil
	}
	return properties
}
